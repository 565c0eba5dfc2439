"""Says at the end of a run which blocks of the pages were not run, and why."""


def pytest_terminal_summary(terminalreporter):
    reports = terminalreporter.getreports("passed") + terminalreporter.getreports("failed")
    lines = [
        f"{report.nodeid.rpartition('[')[2][:-1]}, {value}"
        for report in reports
        for name, value in report.user_properties
        if name == "not run" and report.when == "call"
    ]
    if lines:
        terminalreporter.section("blocks of pages that were not run")
        for line in lines:
            terminalreporter.write_line(line)
