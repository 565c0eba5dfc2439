"""
The native core of pipeserve_native.
"""

from __future__ import annotations

import collections.abc
import typing

import numpy as np
import numpy.typing as npt

__all__: list[str] = [
    "AgentGroupConfig",
    "CallFuture",
    "Client",
    "ClientSslOptions",
    "DataSource",
    "GraphBuilder",
    "GraphStep",
    "HostFunction",
    "HostStep",
    "LaneKind",
    "MethodSpec",
    "Model",
    "PendingReply",
    "Phase",
    "PipelineSpec",
    "RankPlace",
    "ResidentTensor",
    "ServableSpec",
    "Server",
    "SslOptions",
    "WorkerPool",
    "WorkerSession",
    "acquire_agent_config",
    "close_housekeeper",
    "counters",
    "generator_function",
    "instance_function",
    "native_function",
    "report_agents_failed",
    "set_log_level",
    "take_log_records",
]

class HostFunction:
    @property
    def name(self) -> str: ...

class Phase:
    """
    Members:

      INPUT

      PREPROCESS

      PREDICT

      POSTPROCESS
    """

    INPUT: typing.ClassVar[Phase]
    POSTPROCESS: typing.ClassVar[Phase]
    PREDICT: typing.ClassVar[Phase]
    PREPROCESS: typing.ClassVar[Phase]
    __members__: typing.ClassVar[dict[str, Phase]]
    @typing.overload
    def __eq__(self, other: Phase) -> bool: ...
    @typing.overload
    def __eq__(self, other: typing.Any) -> bool: ...
    def __getstate__(self) -> int: ...
    def __hash__(self) -> int: ...
    def __index__(self) -> int: ...
    def __init__(self, value: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def __int__(self) -> int: ...
    @typing.overload
    def __ne__(self, other: Phase) -> bool: ...
    @typing.overload
    def __ne__(self, other: typing.Any) -> bool: ...
    def __repr__(self) -> str: ...
    def __setstate__(self, state: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def __str__(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> int: ...

class DataSource:
    def __init__(self, phase: Phase, index: typing.SupportsInt | typing.SupportsIndex) -> None: ...

class HostStep:
    def __init__(
        self,
        function: HostFunction,
        inputs: collections.abc.Sequence[DataSource],
        output_count: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...

class GraphStep:
    def __init__(
        self,
        subgraph: typing.SupportsInt | typing.SupportsIndex,
        inputs: collections.abc.Sequence[DataSource],
        output_count: typing.SupportsInt | typing.SupportsIndex,
    ) -> None: ...

class MethodSpec:
    def __init__(
        self,
        *,
        name: str,
        input_names: collections.abc.Sequence[str],
        output_names: collections.abc.Sequence[str],
        preprocess: HostStep | None,
        graph: GraphStep,
        postprocess: HostStep | None,
        outputs: collections.abc.Sequence[DataSource],
        timeout: typing.SupportsFloat | typing.SupportsIndex,
    ) -> None: ...

class PipelineSpec:
    def __init__(
        self,
        *,
        name: str,
        input_names: collections.abc.Sequence[str],
        output_names: collections.abc.Sequence[str],
        function: HostFunction,
        timeout: typing.SupportsFloat | typing.SupportsIndex,
        replayable: bool,
    ) -> None: ...

class ServableSpec:
    def __init__(
        self,
        *,
        name: str,
        version: typing.SupportsInt | typing.SupportsIndex,
        methods: collections.abc.Sequence[MethodSpec],
        pipelines: collections.abc.Sequence[PipelineSpec],
        warm_up: HostFunction | None,
        with_batch_dim: bool,
        without_batch_dim_inputs: collections.abc.Sequence[
            typing.SupportsInt | typing.SupportsIndex
        ],
    ) -> None: ...

class ResidentTensor:
    """
    An output that stays where it was computed, until its request ends.

    What run(..., keep=True) returns. It stands for its array among the arguments
    of later calls of the same servable.
    """
    def __repr__(self) -> str: ...
    def numpy(self) -> typing.Any:
        """
        The values: a read-only array, or for text what run() returns.

        Raises FailedPreconditionError when its request has ended or the thread works for
        another one, DeadlineExceededError or CancelledError when the request was given up,
        UnavailableError when the group of agents that computed it is lost.
        """
    @property
    def dtype(self) -> np.dtype[typing.Any]:
        """
        Its element type, also after its end.
        """
    @property
    def shape(self) -> tuple[int, ...]:
        """
        Its dimensions, also after its end.
        """

class CallFuture:
    def cancel(self) -> bool: ...
    def returned(self) -> typing.Any: ...
    def wait(self, timeout: typing.SupportsFloat | typing.SupportsIndex | None) -> bool: ...
    @property
    def done(self) -> bool: ...
    @property
    def running(self) -> bool: ...

class SslOptions:
    def __init__(
        self,
        *,
        certificate_file: str,
        private_key_file: str,
        custom_ca_file: str,
        verify_client: bool,
    ) -> None: ...

class LaneKind:
    """
    Members:

      AUTO

      SHM

      GRPC
    """

    AUTO: typing.ClassVar[LaneKind]
    GRPC: typing.ClassVar[LaneKind]
    SHM: typing.ClassVar[LaneKind]
    __members__: typing.ClassVar[dict[str, LaneKind]]
    @typing.overload
    def __eq__(self, other: LaneKind) -> bool: ...
    @typing.overload
    def __eq__(self, other: typing.Any) -> bool: ...
    def __getstate__(self) -> int: ...
    def __hash__(self) -> int: ...
    def __index__(self) -> int: ...
    def __init__(self, value: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def __int__(self) -> int: ...
    @typing.overload
    def __ne__(self, other: LaneKind) -> bool: ...
    @typing.overload
    def __ne__(self, other: typing.Any) -> bool: ...
    def __repr__(self) -> str: ...
    def __setstate__(self, state: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def __str__(self) -> str: ...
    @property
    def name(self) -> str: ...
    @property
    def value(self) -> int: ...

class Server:
    def __init__(
        self,
        *,
        max_inflight: typing.SupportsInt | typing.SupportsIndex,
        max_enqueued_requests: typing.SupportsInt | typing.SupportsIndex,
        max_enqueued_bytes: typing.SupportsInt | typing.SupportsIndex,
        max_request_seconds: typing.SupportsFloat | typing.SupportsIndex,
    ) -> None: ...
    def drain(self, seconds: typing.SupportsFloat | typing.SupportsIndex) -> None: ...
    def infer(
        self,
        servable: str,
        version: typing.SupportsInt | typing.SupportsIndex,
        callable: str,
        args: tuple[typing.Any, ...],
    ) -> tuple[typing.Any, ...]: ...
    def load_local(
        self,
        spec: ServableSpec,
        *,
        model_files: collections.abc.Sequence[str],
        key: bytes | None,
        mode: str,
        threads: typing.SupportsInt | typing.SupportsIndex | None,
        max_inflight: typing.SupportsInt | typing.SupportsIndex,
        on_request_only: bool,
    ) -> None: ...
    def method(
        self,
        servable: str,
        version: typing.SupportsInt | typing.SupportsIndex,
        method: str,
        keep: bool,
    ) -> collections.abc.Callable[..., typing.Any]: ...
    def set_max_enqueued_requests(
        self, limit: typing.SupportsInt | typing.SupportsIndex
    ) -> None: ...
    def start_admin(
        self,
        address: str,
        actions: HostFunction,
        *,
        ssl: SslOptions | None = None,
        max_connections: typing.SupportsInt | typing.SupportsIndex = 64,
    ) -> str: ...
    def start_distributed(
        self,
        spec: ServableSpec,
        *,
        rank_size: typing.SupportsInt | typing.SupportsIndex,
        stage_size: typing.SupportsInt | typing.SupportsIndex,
        rank_table_file: str,
        address: str,
        agents_ssl: SslOptions | None,
        agent_token: str,
        call_timeout: typing.SupportsFloat | typing.SupportsIndex,
        heartbeat: typing.SupportsFloat | typing.SupportsIndex,
        dead_after: typing.SupportsFloat | typing.SupportsIndex,
        failover_timeout: typing.SupportsFloat | typing.SupportsIndex,
        on_agent_lost: collections.abc.Callable[[], None] | None,
        lane: LaneKind,
        wait_for_all: bool,
        max_inflight: typing.SupportsInt | typing.SupportsIndex,
        on_request_only: bool,
    ) -> str: ...
    def start_grpc(
        self,
        address: str,
        *,
        max_message_bytes: typing.SupportsInt | typing.SupportsIndex,
        ssl: SslOptions | None,
        max_connections: typing.SupportsInt | typing.SupportsIndex,
    ) -> str: ...
    def start_rest(
        self,
        address: str,
        *,
        max_message_bytes: typing.SupportsInt | typing.SupportsIndex,
        ssl: SslOptions | None,
        max_connections: typing.SupportsInt | typing.SupportsIndex,
        http_status_codes: bool,
    ) -> str: ...
    def state_as_json(self) -> str: ...
    def stop(self) -> None: ...
    def submit(
        self,
        servable: str,
        version: typing.SupportsInt | typing.SupportsIndex,
        method: str,
        args: tuple[typing.Any, ...],
        keep: bool,
    ) -> CallFuture: ...
    def switch(self, name: str, version: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def unload(
        self,
        name: str,
        version: typing.SupportsInt | typing.SupportsIndex,
        drain_seconds: typing.SupportsFloat | typing.SupportsIndex,
    ) -> None: ...
    def wait_ready(
        self,
        name: str,
        version: typing.SupportsInt | typing.SupportsIndex,
        timeout: typing.SupportsFloat | typing.SupportsIndex | None,
    ) -> None: ...

class WorkerPool:
    def __init__(
        self,
        *,
        server: Server,
        servable: str,
        version: typing.SupportsInt | typing.SupportsIndex,
        grace: typing.SupportsFloat | typing.SupportsIndex,
    ) -> None: ...
    def add(
        self,
        socket_fd: typing.SupportsInt | typing.SupportsIndex,
        process_fd: typing.SupportsInt | typing.SupportsIndex,
    ) -> int: ...
    def close(self) -> None: ...
    def end_workers(self) -> None: ...
    def function(self, key: str, name: str, method: str) -> HostFunction: ...
    def remove(self, worker: typing.SupportsInt | typing.SupportsIndex, how: str) -> None: ...

class WorkerSession:
    def __init__(
        self,
        socket_fd: typing.SupportsInt | typing.SupportsIndex,
        functions: collections.abc.Mapping[str, HostFunction],
    ) -> None: ...
    def method(
        self,
        servable: str,
        version: typing.SupportsInt | typing.SupportsIndex,
        method: str,
        keep: bool,
    ) -> collections.abc.Callable[..., typing.Any]: ...
    def serve(self) -> None: ...
    def submit(
        self,
        servable: str,
        version: typing.SupportsInt | typing.SupportsIndex,
        method: str,
        args: tuple[typing.Any, ...],
        keep: bool,
    ) -> CallFuture: ...

class ClientSslOptions:
    def __init__(
        self, *, certificate_file: str, private_key_file: str, custom_ca_file: str
    ) -> None: ...

class PendingReply:
    def result(self) -> tuple[list[dict[str, typing.Any]], list[tuple[int, str]]]: ...

class Client:
    def __init__(
        self,
        *,
        address: str,
        servable: str,
        method: str,
        version: typing.SupportsInt | typing.SupportsIndex,
        ssl: ClientSslOptions | None,
    ) -> None: ...
    def infer(self, instances: list[typing.Any]) -> PendingReply: ...

class RankPlace:
    @property
    def device_id(self) -> int: ...
    @property
    def ip(self) -> str: ...

class AgentGroupConfig:
    @property
    def rank_size(self) -> int: ...
    @property
    def rank_table_json(self) -> str: ...
    @property
    def ranks(self) -> list[RankPlace]: ...
    @property
    def servable_name(self) -> str: ...
    @property
    def stage_size(self) -> int: ...

class GraphBuilder:
    def __init__(self, name: str) -> None: ...
    def add(
        self,
        a: typing.SupportsInt | typing.SupportsIndex,
        b: typing.SupportsInt | typing.SupportsIndex,
        strategy: collections.abc.Sequence[
            collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]
        ],
    ) -> int: ...
    def bias_add(
        self,
        x: typing.SupportsInt | typing.SupportsIndex,
        bias: typing.SupportsInt | typing.SupportsIndex,
        strategy: collections.abc.Sequence[
            collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]
        ],
    ) -> int: ...
    def cast(
        self,
        x: typing.SupportsInt | typing.SupportsIndex,
        dtype: np.dtype[typing.Any],
        strategy: collections.abc.Sequence[
            collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]
        ],
    ) -> int: ...
    def concat(
        self,
        parts: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        axis: typing.SupportsInt | typing.SupportsIndex,
    ) -> int: ...
    def info(
        self, x: typing.SupportsInt | typing.SupportsIndex
    ) -> tuple[np.dtype[typing.Any], tuple[int, ...]]: ...
    def input(
        self,
        name: str,
        dtype: np.dtype[typing.Any],
        shape: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    ) -> int: ...
    def matmul(
        self,
        a: typing.SupportsInt | typing.SupportsIndex,
        b: typing.SupportsInt | typing.SupportsIndex,
        transpose_a: bool,
        transpose_b: bool,
        strategy: collections.abc.Sequence[
            collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]
        ],
    ) -> int: ...
    def mul(
        self,
        a: typing.SupportsInt | typing.SupportsIndex,
        b: typing.SupportsInt | typing.SupportsIndex,
        strategy: collections.abc.Sequence[
            collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]
        ],
    ) -> int: ...
    def neg(
        self,
        x: typing.SupportsInt | typing.SupportsIndex,
        strategy: collections.abc.Sequence[
            collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]
        ],
    ) -> int: ...
    def output(self, x: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def parameter(self, name: str, weight: npt.NDArray[typing.Any]) -> int: ...
    def relu(
        self,
        x: typing.SupportsInt | typing.SupportsIndex,
        strategy: collections.abc.Sequence[
            collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]
        ],
    ) -> int: ...
    def reshape(
        self,
        x: typing.SupportsInt | typing.SupportsIndex,
        dims: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    ) -> int: ...
    def save(self, path: str) -> None: ...
    def save_sharded(
        self,
        directory: str,
        rank_size: typing.SupportsInt | typing.SupportsIndex,
        stages: typing.SupportsInt | typing.SupportsIndex,
        all_stages_take_inputs: bool,
    ) -> None: ...
    def set_stage(self, stage: typing.SupportsInt | typing.SupportsIndex) -> None: ...
    def split(
        self,
        x: typing.SupportsInt | typing.SupportsIndex,
        axis: typing.SupportsInt | typing.SupportsIndex,
        count: typing.SupportsInt | typing.SupportsIndex,
    ) -> list[int]: ...
    def strided_slice(
        self,
        x: typing.SupportsInt | typing.SupportsIndex,
        begin: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        end: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        strides: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
        masks: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    ) -> int: ...
    def sub(
        self,
        a: typing.SupportsInt | typing.SupportsIndex,
        b: typing.SupportsInt | typing.SupportsIndex,
        strategy: collections.abc.Sequence[
            collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex]
        ],
    ) -> int: ...
    def transpose(
        self,
        x: typing.SupportsInt | typing.SupportsIndex,
        perm: collections.abc.Sequence[typing.SupportsInt | typing.SupportsIndex],
    ) -> int: ...

class Model:
    def __init__(
        self,
        path: str,
        *,
        key: bytes,
        mode: str,
        threads: typing.SupportsInt | typing.SupportsIndex | None,
    ) -> None: ...
    def run(self, inputs: tuple[typing.Any, ...]) -> tuple[typing.Any, ...]: ...
    @property
    def inputs(self) -> list[tuple[str, np.dtype[typing.Any], tuple[int, ...]]]: ...
    @property
    def outputs(self) -> list[tuple[str, np.dtype[typing.Any], tuple[int, ...]]]: ...

def acquire_agent_config(
    address: str,
    timeout: typing.SupportsFloat | typing.SupportsIndex,
    *,
    token: str,
    ssl: ClientSslOptions | None,
) -> AgentGroupConfig: ...
def close_housekeeper() -> None: ...
def counters() -> dict[str, int]: ...
def generator_function(
    function: collections.abc.Callable[..., typing.Any],
    name: str,
    output_count: typing.SupportsInt | typing.SupportsIndex,
) -> HostFunction: ...
def instance_function(
    function: collections.abc.Callable[..., typing.Any],
    name: str,
    output_count: typing.SupportsInt | typing.SupportsIndex,
) -> HostFunction: ...
def native_function(name: str) -> HostFunction | None: ...
def report_agents_failed(
    address: str, reason: str, *, token: str, ssl: ClientSslOptions | None
) -> None: ...
def set_log_level(level: typing.SupportsInt | typing.SupportsIndex) -> None: ...
def take_log_records() -> tuple[list[tuple[int, str]], int] | None: ...

__version__: str
