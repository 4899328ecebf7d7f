"""Size of a network and the work of one forward pass of one image, each by one definition.

    params       learned numbers: weights, biases, scale and offset of batch norms
    buffers      other numbers of the state dict: running statistics of batch norms, their counter
    weight_bytes parameters and buffers, at the precision they have
    macs         multiply-adds of convolutions and linear layers with weights of their own, learned
                 or, in a convolution, fixed ones as of a blur: a multiplication and the addition
                 behind it are one MAC; biases are not counted
    flops        2 * macs, nothing else
    elementwise  arithmetic on single numbers, as `PER_NUMBER` lists it: batch norm, activations,
                 additions and products of branches; of a pool, one for each number it reads
    moved        numbers written by operators that only move them: shift, channel shuffle, concat,
                 pad, copies. A shift is counted here however it is computed: as a convolution its
                 weights are fixed, and one-hot
    bytes_unfused  upper bound of the traffic: every operator reads its weights and inputs and
                 writes its output
    bytes_fused  lower bound: an element-wise operator (batch norm, activation, addition, product)
                 joins the operator whose output it alone reads; that tensor is never written, and
                 a batch norm is folded into the weights
    flops_per_byte  arithmetic intensity, of either bound
    peak_activation_bytes  largest sum of tensors alive at once, the input included, weights not; a
                 tensor lives until its last reader is done
    operator_calls  operators that read or write memory; a view of a tensor is none
    uncounted    names of operators that these definitions do not cover, instead of a silent zero

Where other tools disagree, and by how much, stands in docs/operations.md. The bytes suppose ideal
caches inside an operator and none between two; copies that a kernel makes inside are not seen, nor
are outputs that nobody reads, as the indices of a max-pool. Held fixed: batch size one, evaluation
mode; nothing is computed, as the pass runs on torch's meta device.
"""

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import prod
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from lightfer.results import Work

aten = torch.ops.aten
PER_NUMBER = {
    # Operations per number of the output. A comparison is one, as in max(x, 0).
    aten.native_batch_norm: 2,  # times scale, plus offset: both follow from four constants
    aten.relu: 1,
    aten.hardtanh: 2,  # ReLU6: two comparisons
    aten.hardsigmoid: 4,  # plus 3, two comparisons, divided by 6
    aten.hardswish: 5,  # hardsigmoid, times x
    aten.silu: 5,  # negate, exponential, plus 1, divide, times x
    aten.sigmoid: 4,
}
_IN_PLACE = {
    getattr(aten, f"{operator.__name__}_"): operator
    for operator in PER_NUMBER
    if operator is not aten.native_batch_norm
}
_MOVES = {
    aten.cat, aten.clone, aten.copy, aten.copy_, aten._to_copy, aten.constant_pad_nd, aten.roll,
    aten.native_channel_shuffle, aten.pixel_shuffle, aten.flip, aten.index_select, aten.index,
    aten.gather, aten.repeat, aten.fill_, aten.zeros, aten.zeros_like, aten.new_zeros,
}  # fmt: skip
_MATRIX_PRODUCTS = {aten.mm: (0, 1), aten.addmm: (1, 2)}  # where the two factors stand
_WINDOWS = {aten.max_pool2d_with_indices, aten.avg_pool2d}
_GLOBAL = {aten.mean, aten.sum, aten._adaptive_avg_pool2d}
_REDUCE = _WINDOWS | _GLOBAL
UNCOUNTED = {"counted": False}


@dataclass(frozen=True)
class Operator:
    """One call of an operator, views excluded."""

    name: str  # in ATen, without overload; "shift" for a convolution that is one
    output_numbers: int
    macs: int = 0
    elementwise: int = 0
    moved: int = 0
    shift_macs: int = 0  # what a shift would cost if its one-hot weights were learned
    weight_bytes: int = 0  # read
    read_bytes: int = 0  # of tensors that are not weights
    written_bytes: int = 0
    saved_bytes: int = 0  # of the operator and of the one that it joins, in the fused bound
    has_bias: bool = False
    counted: bool = True

    @property
    def bytes(self) -> int:
        """Read and written."""
        return self.weight_bytes + self.read_bytes + self.written_bytes


class Operations(Work, frozen=True, kw_only=True):
    """The counts that the head of this file defines, of one image."""

    params: int
    macs: int

    @property
    def flops(self) -> int:
        """Floating-point operations: two for a multiply-add."""
        return 2 * self.macs

    @property
    def work(self) -> Work:
        """All but parameters and multiply-adds, as a results file has it."""
        return Work(**{name: getattr(self, name) for name in Work.__struct_fields__})


def count_operations(model: nn.Module, input_shape: Sequence[int]) -> Operations:
    """Count one forward pass of one image of `input_shape`, (C, H, W) or (1, C, H, W).

    The pass runs on torch's meta device, so nothing is computed and `model` may be on any device,
    the meta device included. The model is left as it was: no hooks, same mode, same tensors.

    Raises ValueError for a batch of more than one image.
    """
    operators, peak = list_operators(model, input_shape)
    state, parameters = model.state_dict(), dict(model.named_parameters())
    macs, unfused = sum(o.macs for o in operators), sum(o.bytes for o in operators)
    fused = unfused - sum(o.saved_bytes for o in operators)
    return Operations(
        params=sum(p.numel() for p in parameters.values()),
        macs=macs,
        weight_bytes=sum(t.numel() * t.element_size() for t in state.values()),
        buffers=sum(t.numel() for name, t in state.items() if name not in parameters),
        elementwise=sum(o.elementwise for o in operators),
        moved=sum(o.moved for o in operators),
        bytes_fused=fused,
        bytes_unfused=unfused,
        flops_per_byte_fused=2 * macs / max(fused, 1),  # a net without operators has no bytes
        flops_per_byte_unfused=2 * macs / max(unfused, 1),
        peak_activation_bytes=peak,
        operator_calls=len(operators),
        uncounted=tuple(sorted({o.name for o in operators if not o.counted})),
    )


@torch.inference_mode(False)  # in inference mode the dispatcher shows other operators
def list_operators(model: nn.Module, input_shape: Sequence[int]) -> tuple[list[Operator], int]:
    """Each operator of one forward pass, in its order, and the peak of activations in bytes.

    Everything else is as in `count_operations`.
    """
    shape = tuple(input_shape) if len(input_shape) == 4 else (1, *input_shape)
    if len(shape) != 4 or shape[0] != 1:
        raise ValueError(
            f"input_shape is {tuple(input_shape)}, but counts are of one image: use (C, H, W)"
        )
    parameters = {n: nn.Parameter(_empty(p), False) for n, p in model.named_parameters()}
    buffers = {name: _empty(buffer) for name, buffer in model.named_buffers()}
    floats = (p.dtype for p in parameters.values() if p.is_floating_point())
    image = torch.empty(shape, dtype=next(floats, torch.float32), device="meta")
    modes = {module: module.training for module in model.modules()}
    fixed = {
        _memory(buffers[name]): _Buffer(buffer, _says_one_hot(model, name))
        for name, buffer in model.named_buffers()
    }
    recorder = _Recorder(image, parameters.values(), fixed)
    try:
        model.eval()
        with torch.no_grad(), recorder:
            torch.func.functional_call(model, parameters | buffers, image)
    finally:
        for module, training in modes.items():
            module.training = training
    return recorder.operators(), recorder.peak_bytes()


@dataclass(frozen=True)
class _Buffer:
    numbers: Tensor
    one_hot: bool  # as its module says of itself, which counts where there are no numbers


@dataclass(frozen=True)
class _Call:
    """What `_Recorder` keeps of a call: the operator, and which memory it touches."""

    operator: Operator
    pointwise: bool  # one number of the output needs one of each input: it can join
    read: tuple[tuple[int, int], ...]  # (memory, how often it had been written)
    read_numbers: tuple[int, ...]
    written: int  # memory


class _Recorder(TorchDispatchMode):
    """Writes down every operator that the dispatcher sees."""

    def __init__(
        self, image: Tensor, parameters: Iterable[Tensor], buffers: dict[int, _Buffer]
    ) -> None:
        super().__init__()
        self.parameters = {_memory(p) for p in parameters}
        self.buffers = buffers
        self.weights = self.parameters | buffers.keys()
        self.calls: list[_Call] = []
        self.writes: Counter[int] = Counter()
        self.alive = [image]  # a memory's identity must not be used again
        self.memory_bytes = {_memory(image): image.untyped_storage().nbytes()}

    def __torch_dispatch__(
        self, func: Any, types: object, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        result = func(*args, **(kwargs or {}))
        inputs = [t for t in tree_leaves((args, kwargs)) if isinstance(t, Tensor)]
        output = next((t for t in tree_leaves(result) if isinstance(t, Tensor)), None)
        if output is None:
            return result
        self.alive.append(output)
        is_view = _memory(output) in map(_memory, inputs) and not func._schema.is_mutable
        if not is_view and func.overloadpacket not in (aten.empty, aten.new_empty):
            self._record(func, args, inputs, output)
        return result

    def _record(self, func: Any, args: tuple[Any, ...], inputs: list[Tensor], out: Tensor) -> None:
        packet: Any = _IN_PLACE.get(func.overloadpacket, func.overloadpacket)
        if packet is aten.copy_:  # its destination is not read
            inputs = inputs[1:]
        weights = [t for t in inputs if _memory(t) in self.weights]
        read = [t for t in inputs if _memory(t) not in self.weights]
        work = self._work(packet, func, args, out)
        memory = _memory(out)
        self.memory_bytes.setdefault(memory, out.untyped_storage().nbytes())
        is_shift = "shift_macs" in work
        operator = Operator(
            name="shift" if is_shift else packet.__name__,
            output_numbers=out.numel(),
            weight_bytes=0 if is_shift else sum(map(_bytes, weights)),
            read_bytes=sum(map(_bytes, read)),
            written_bytes=_bytes(out),
            **work,
        )
        values = tuple((_memory(t), self.writes[_memory(t)]) for t in read)
        pointwise = operator.elementwise > 0 and packet not in _REDUCE
        numbers = tuple(t.numel() for t in read)
        self.calls.append(_Call(operator, pointwise, values, numbers, memory))
        self.writes[memory] += 1

    def _work(self, packet: Any, func: Any, args: tuple[Any, ...], out: Tensor) -> dict[str, Any]:
        """The counts of one call, as arguments of `Operator`."""
        if packet is aten.convolution:
            x, weight, bias, transposed = args[0], args[1], args[2], args[6]
            # Every output number (transposed: input number) meets each weight of its filter once.
            macs = (x if transposed else out).numel() * weight[0].numel()
            if _memory(weight) not in self.parameters:
                one_hot = self._is_one_hot(weight)
                if one_hot is None:
                    return UNCOUNTED
                if one_hot:
                    return {"moved": out.numel(), "shift_macs": macs}
            return {"macs": macs, "has_bias": bias is not None}
        if packet in _MATRIX_PRODUCTS:
            x, weight = (args[i] for i in _MATRIX_PRODUCTS[packet])
            if not {_memory(x), _memory(weight)} & self.parameters:
                return UNCOUNTED
            return {"macs": out.numel() * x.shape[-1], "has_bias": packet is aten.addmm}
        if packet in _WINDOWS:
            window = args[1] if len(args[1]) == 2 else args[1] * 2
            return {"elementwise": out.numel() * prod(window)}
        if packet in _GLOBAL:
            return {"elementwise": args[0].numel()}
        if packet in _MOVES:
            return {"moved": out.numel()}
        if packet in PER_NUMBER or torch.Tag.pointwise in func.tags:
            return {"elementwise": out.numel() * PER_NUMBER.get(packet, 1)}
        return UNCOUNTED

    def _is_one_hot(self, weight: Tensor) -> bool | None:
        """Whether each filter is a single 1, by the numbers of the buffer that it is a view of;
        None where they are not known: computed in the pass, or on the meta device.
        """
        if (buffer := self.buffers.get(_memory(weight))) is None:
            return None
        if buffer.numbers.is_meta:
            return buffer.one_hot or None
        same = buffer.numbers.clone().as_strided(
            weight.shape, weight.stride(), weight.storage_offset()
        )
        filters = same.flatten(1)
        return bool(((filters != 0).sum(1) == 1).all() and (filters.sum(1) == 1).all())

    def operators(self) -> list[Operator]:
        """The operators, with what joining the one before it saves."""
        readers = Counter(value for call in self.calls for value in call.read)
        produced: set[tuple[int, int]] = set()
        writes: Counter[int] = Counter()
        result = []
        for call in self.calls:
            o = call.operator
            joined = call.pointwise and any(
                value in produced and readers[value] == 1 and numbers == o.output_numbers
                for value, numbers in zip(call.read, call.read_numbers, strict=True)
            )
            # Written by the operator before and read by this one: both are spared.
            saved = o.weight_bytes + 2 * o.written_bytes if joined else 0
            result.append(replace(o, saved_bytes=saved))
            writes[call.written] += 1
            produced.add((call.written, writes[call.written]))
        return result

    def peak_bytes(self) -> int:
        """Largest sum of the memories that are alive during a call."""
        first: dict[int, int] = {_memory(self.alive[0]): 0}
        last: dict[int, int] = {}
        for number, call in enumerate(self.calls):
            first.setdefault(call.written, number)
            for memory in (call.written, *(memory for memory, _ in call.read)):
                last[memory] = number
        change: Counter[int] = Counter()
        for memory, number in last.items():
            change[first[memory]] += self.memory_bytes[memory]
            change[number + 1] -= self.memory_bytes[memory]
        alive = peak = 0
        for number in range(len(self.calls)):
            alive += change[number]
            peak = max(peak, alive)
        return peak


def _says_one_hot(model: nn.Module, buffer: str) -> bool:
    return getattr(model.get_submodule(buffer.rpartition(".")[0]), "one_hot", False)


def _empty(tensor: Tensor) -> Tensor:
    return torch.empty_like(tensor, device="meta")


def _memory(tensor: Tensor) -> int:
    """Which memory a tensor lies in; equal for a tensor and its views."""
    return tensor.untyped_storage()._cdata


def _bytes(tensor: Tensor) -> int:
    return tensor.numel() * tensor.element_size()
