import re

import pytest

from pipeserve_native import InvalidArgumentError, _checks


def raises(text):
    return pytest.raises(InvalidArgumentError, match=f"^{re.escape(text)}$")


def test_every_check_raises_a_runtime_error():
    with pytest.raises(RuntimeError):
        _checks.check_str("name", 1)


def test_str():
    assert _checks.check_str("name", "x") == "x"
    with raises("Parameter 'name' should be str, but actually <class 'int'>"):
        _checks.check_str("name", 1)
    with raises("Parameter 'name' should not be empty str"):
        _checks.check_str("name", "")


def test_bytes():
    assert _checks.check_bytes("key", b"x") == b"x"
    with raises("Parameter 'key' should be bytes, but actually <class 'str'>"):
        _checks.check_bytes("key", "x")
    with raises("Parameter 'key' should not be empty bytes"):
        _checks.check_bytes("key", b"")


@pytest.mark.parametrize(
    ("value", "minimum", "maximum", "text"),
    [
        (True, None, None, "Parameter 'n' should be int, but actually <class 'bool'>"),
        ("1", None, None, "Parameter 'n' should be int, but actually <class 'str'>"),
        (0, 1, None, "Parameter 'n' should be >= 1"),
        (9, None, 8, "Parameter 'n' should be <= 8"),
        (513, 1, 512, "Parameter 'n' should be in range [1,512]"),
        (0, 1, 512, "Parameter 'n' should be in range [1,512]"),
    ],
)
def test_int(value, minimum, maximum, text):
    with raises(text):
        _checks.check_int("n", value, minimum, maximum)


def test_int_takes_its_limits():
    assert _checks.check_int("n", 1, 1, 512) == 1
    assert _checks.check_int("n", 512, 1, 512) == 512


def test_str_list():
    assert _checks.check_str_list("s", "a") == ("a",)
    assert _checks.check_str_list("s", ["a", "b"]) == ("a", "b")
    with raises("Parameter 's' should be str or tuple/list of str, but actually <class 'int'>"):
        _checks.check_str_list("s", 1)
    with raises("The item of parameter 's' should be str, but actually <class 'int'>"):
        _checks.check_str_list("s", ["a", 1])
    with raises("The item value 'a' in parameter 's' should not be repeated"):
        _checks.check_str_list("s", ["a", "a"])


def test_int_list():
    assert _checks.check_int_list("device_ids", 3, 0) == (3,)
    assert _checks.check_int_list("device_ids", [0, 1], 0) == (0, 1)
    with raises("The item value '-1' in parameter 'device_ids' should be >= 0"):
        _checks.check_int_list("device_ids", [0, -1], 0)
    with raises("The item value '1' in parameter 'device_ids' should not be repeated"):
        _checks.check_int_list("device_ids", (1, 1), 0)
    with raises(
        "Parameter 'device_ids' should be int or tuple/list of int, but actually <class 'str'>"
    ):
        _checks.check_int_list("device_ids", "0", 0)


def test_nested_str_list():
    assert _checks.check_nested_str_list("f", "a.mindir") == [["a.mindir"]]
    assert _checks.check_nested_str_list("f", ["a", ["b", "c"]]) == [["a"], ["b", "c"]]
    with raises("The inner of parameter 'f' should be str, but actually <class 'int'>"):
        _checks.check_nested_str_list("f", [["a", 1]])


def test_decryption():
    assert _checks.check_decryption(None, "AES-GCM") == (None, "AES-GCM")
    with raises("Parameter 'dec_key' length 5 expected to be 16, 24 or 32"):
        _checks.check_decryption(b"12345", "AES-GCM")
    with raises("Parameter 'dec_mode' expected to be 'AES-GCM' or 'AES-CBC'"):
        _checks.check_decryption(None, "AES-ECB")


def test_choice():
    assert _checks.check_choice("lane", "shm", ("auto", "shm")) == "shm"
    with raises("Parameter 'lane' should be one of 'auto', 'shm', but is 'gloo'"):
        _checks.check_choice("lane", "gloo", ("auto", "shm"))
    with raises("Parameter 'lane' should be str, but actually <class 'int'>"):
        _checks.check_choice("lane", 1, ("auto", "shm"))


def test_seconds():
    assert _checks.check_seconds("timeout", None) == 0
    assert _checks.check_seconds("timeout", 2) == 2
    assert _checks.check_seconds("timeout", 0.5) == 0.5
    for value in (True, "1", [1], 1j):
        with raises(f"Parameter 'timeout' should be int or float, but actually {type(value)}"):
            _checks.check_seconds("timeout", value)
    for value in (0, -1, 0.0001, float("nan"), float("inf"), -float("inf"), 1e300, 10**400):
        with raises(
            f"Parameter 'timeout' should be in range [0.001,31622400] seconds, but actually {value}"
        ):
            _checks.check_seconds("timeout", value)
