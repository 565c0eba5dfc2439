"""The native core."""

from collections.abc import Callable
from enum import Enum
from typing import Any

import numpy as np

__version__: str

class Phase(Enum):
    INPUT = 0
    PREPROCESS = 1
    PREDICT = 2
    POSTPROCESS = 3

class DataSource:
    def __init__(self, phase: Phase, index: int) -> None: ...

class HostFunction:
    @property
    def name(self) -> str: ...

class HostStep:
    def __init__(
        self, function: HostFunction, inputs: list[DataSource], output_count: int
    ) -> None: ...

class GraphStep:
    def __init__(self, subgraph: int, inputs: list[DataSource], output_count: int) -> None: ...

class MethodSpec:
    def __init__(
        self,
        *,
        name: str,
        input_names: list[str],
        output_names: list[str],
        preprocess: HostStep | None,
        graph: GraphStep,
        postprocess: HostStep | None,
        outputs: list[DataSource],
        timeout: float,
    ) -> None: ...

class PipelineSpec:
    def __init__(
        self,
        *,
        name: str,
        input_names: list[str],
        output_names: list[str],
        function: HostFunction,
        timeout: float,
    ) -> None: ...

class ServableSpec:
    def __init__(
        self,
        *,
        name: str,
        version: int,
        methods: list[MethodSpec],
        pipelines: list[PipelineSpec],
        with_batch_dim: bool,
        without_batch_dim_inputs: list[int],
    ) -> None: ...

def instance_function(
    function: Callable[..., Any], name: str, output_count: int
) -> HostFunction: ...
def generator_function(
    function: Callable[..., Any], name: str, output_count: int
) -> HostFunction: ...
def native_function(name: str) -> HostFunction | None: ...

class LaneKind(Enum):
    AUTO = 0
    SHM = 1
    GRPC = 2

class SslOptions:
    def __init__(
        self,
        *,
        certificate_file: str,
        private_key_file: str,
        custom_ca_file: str,
        verify_client: bool,
    ) -> None: ...

class ResidentTensor:
    @property
    def shape(self) -> tuple[int, ...]: ...
    @property
    def dtype(self) -> np.dtype[Any]: ...
    def numpy(self) -> Any: ...

class CallFuture:
    def wait(self, timeout: float | None) -> bool: ...
    def returned(self) -> Any: ...
    def cancel(self) -> bool: ...
    @property
    def done(self) -> bool: ...
    @property
    def running(self) -> bool: ...

class Server:
    def __init__(
        self,
        *,
        max_inflight: int,
        max_enqueued_requests: int,
        max_enqueued_bytes: int,
        max_request_seconds: float,
    ) -> None: ...
    def set_max_enqueued_requests(self, limit: int) -> None: ...
    def load_local(
        self,
        spec: ServableSpec,
        *,
        model_files: list[str],
        key: bytes | None,
        mode: str,
        threads: int | None,
        max_inflight: int,
    ) -> None: ...
    def start_distributed(
        self,
        spec: ServableSpec,
        *,
        rank_size: int,
        stage_size: int,
        rank_table_file: str,
        address: str,
        call_timeout: float,
        lane: LaneKind,
        wait_for_all: bool,
        max_inflight: int,
    ) -> str: ...
    def wait_ready(self, name: str, version: int, timeout: float | None) -> None: ...
    def start_grpc(
        self, address: str, *, max_message_bytes: int, ssl: SslOptions | None
    ) -> str: ...
    def start_rest(
        self,
        address: str,
        *,
        max_message_bytes: int,
        ssl: SslOptions | None,
        http_status_codes: bool,
    ) -> str: ...
    def infer(
        self, servable: str, version: int, callable: str, args: tuple[Any, ...]
    ) -> tuple[Any, ...]: ...
    def method(
        self, servable: str, version: int, method: str, keep: bool
    ) -> Callable[..., Any]: ...
    def submit(
        self, servable: str, version: int, method: str, args: tuple[Any, ...], keep: bool
    ) -> CallFuture: ...
    def stop(self) -> None: ...

class RankPlace:
    @property
    def ip(self) -> str: ...
    @property
    def device_id(self) -> int: ...

class AgentGroupConfig:
    @property
    def servable_name(self) -> str: ...
    @property
    def rank_size(self) -> int: ...
    @property
    def stage_size(self) -> int: ...
    @property
    def rank_table_json(self) -> str: ...
    @property
    def ranks(self) -> list[RankPlace]: ...

def acquire_agent_config(address: str, timeout: float) -> AgentGroupConfig: ...
def report_agents_failed(address: str, reason: str) -> None: ...

class ClientSslOptions:
    def __init__(
        self, *, certificate_file: str, private_key_file: str, custom_ca_file: str
    ) -> None: ...

class PendingReply:
    def result(self) -> tuple[list[dict[str, Any]], list[tuple[int, str]]]: ...

class Client:
    def __init__(
        self,
        *,
        address: str,
        servable: str,
        method: str,
        version: int,
        ssl: ClientSslOptions | None,
    ) -> None: ...
    def infer(self, instances: list[Any]) -> PendingReply: ...

class GraphBuilder:
    def __init__(self, name: str) -> None: ...
    def input(self, name: str, dtype: np.dtype[Any], shape: list[int]) -> int: ...
    def parameter(self, name: str, weight: np.ndarray[Any, Any]) -> int: ...
    def matmul(
        self, a: int, b: int, transpose_a: bool, transpose_b: bool, strategy: list[list[int]]
    ) -> int: ...
    def neg(self, x: int, strategy: list[list[int]]) -> int: ...
    def relu(self, x: int, strategy: list[list[int]]) -> int: ...
    def add(self, a: int, b: int, strategy: list[list[int]]) -> int: ...
    def sub(self, a: int, b: int, strategy: list[list[int]]) -> int: ...
    def mul(self, a: int, b: int, strategy: list[list[int]]) -> int: ...
    def bias_add(self, x: int, bias: int, strategy: list[list[int]]) -> int: ...
    def reshape(self, x: int, dims: list[int]) -> int: ...
    def transpose(self, x: int, perm: list[int]) -> int: ...
    def concat(self, parts: list[int], axis: int) -> int: ...
    def split(self, x: int, axis: int, count: int) -> list[int]: ...
    def strided_slice(
        self, x: int, begin: list[int], end: list[int], strides: list[int], masks: list[int]
    ) -> int: ...
    def output(self, x: int) -> None: ...
    def info(self, x: int) -> tuple[np.dtype[Any], tuple[int, ...]]: ...
    def save(self, path: str) -> None: ...
    def save_sharded(self, directory: str, rank_size: int) -> None: ...

class Model:
    def __init__(self, path: str, *, key: bytes, mode: str, threads: int | None) -> None: ...
    @property
    def inputs(self) -> list[tuple[str, np.dtype[Any], tuple[int, ...]]]: ...
    @property
    def outputs(self) -> list[tuple[str, np.dtype[Any], tuple[int, ...]]]: ...
    def run(self, inputs: tuple[Any, ...]) -> tuple[Any, ...]: ...

def set_log_level(level: int) -> None: ...
def take_log_records() -> tuple[list[tuple[int, str]], int] | None: ...
def close_housekeeper() -> None: ...
def counters() -> dict[str, int]: ...
