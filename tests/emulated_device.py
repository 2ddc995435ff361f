"""A device that is none: its tensors are computed by the processor, but cannot be mixed with those of the processor.

What runs on a GPU must never meet a tensor that was left in the memory of the machine. Machines without a GPU can test
that, and that the numbers are those of the processor, since these tensors hold numbers; and how often the device and
the processor wait for each other, which decides how fast small networks are. What it cannot show: speed, half
precision, random numbers and the order of sums of a GPU.
"""

from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import torch
from torch import Tensor
from torch.overrides import TorchFunctionMode
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

_NAME = "emulated"
#: How often numbers have gone to the device, and from it, where the processor waits for them.
transfers: Counter[str] = Counter()
#: In which precisions convolutions have been computed on the device, as torch tells cuDNN.
convolution_precisions: set[str] = set()
#: Operations whose tensors may lie on two devices: they bring the one to the other.
_TRANSFERS = (torch.ops.aten._to_copy.default, torch.ops.aten.copy_.default)


class _Emulated(Tensor):
    """A tensor that says that it is on the device; its numbers lie in `held`."""

    held: Tensor

    @staticmethod
    def __new__(cls, held: Tensor) -> "_Emulated":
        made: _Emulated = Tensor._make_wrapper_subclass(
            cls, held.shape, strides=held.stride(), storage_offset=held.storage_offset(), dtype=held.dtype,
            device=_device(),
        )  # fmt: skip
        made.held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:  # type: ignore[override]  # torch declares a C function without `func`
        return _compute(func, args, kwargs or {})


class _Factories(TorchDispatchMode):  # type: ignore[no-untyped-call]  # its `__init_subclass__` has no types
    """Takes the operations that no tensor of the device is part of, such as those which make the first.

    No mode of functions instead, whose calls inside of other functions, such as a backward pass, would be missed.
    """

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        return _compute(func, args, kwargs or {})


class _Literals(TorchFunctionMode):
    """Takes what moves numbers between Python and a device by itself, past all operations."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is torch.tensor and kwargs.get("device") is not None:
            device = kwargs.pop("device")
            return func(*args, **kwargs).to(device)
        if func is Tensor.tolist:
            return func(args[0].cpu())
        return func(*args, **kwargs)


def convolution_precision() -> str:
    """Return in which precision cuDNN is to compute convolutions of float32: ``ieee`` or ``tf32``."""
    cudnn: Any = torch.backends.cudnn  # a module whose settings are no attributes that it declares
    return str(cudnn.conv.fp32_precision)


def register() -> None:
    """Make the device known to torch, for this process; to train on it, before anything else has been trained."""
    if torch._C._get_privateuse1_backend_name() != _NAME:
        _setup_privateuseone_for_python_backend(_NAME)
        getattr(torch, _NAME).get_amp_supported_dtype = list


@contextmanager
def emulated_device() -> Iterator[torch.device]:
    """Give the device, which computes everything but in float16 and bfloat16."""
    register()
    with _Factories(), _Literals():  # type: ignore[no-untyped-call]  # torch's `__init__` has no types
        yield _device()


def _device() -> torch.device:
    return torch.device(_NAME, 0)


def _compute(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """Compute an operation with the processor; what comes out is on the device that it would be on."""
    tensors = [leaf for leaf in tree_leaves((args, kwargs)) if isinstance(leaf, Tensor)]
    begins_there = any(isinstance(tensor, _Emulated) for tensor in tensors)
    left = [tensor for tensor in tensors if not isinstance(tensor, _Emulated) and tensor.dim() > 0]
    if begins_there and left and func not in _TRANSFERS:
        raise RuntimeError(f"{func}: expected all tensors to be on the device, but one {tuple(left[0].shape)} is not")
    if begins_there and "convolution" in str(func):
        convolution_precisions.add(convolution_precision())
    ends_there = begins_there
    if kwargs.get("device") is not None:
        ends_there = torch.device(kwargs["device"]).type == _NAME
        kwargs = {**kwargs, "device": torch.device("cpu")}
    elif func is torch.ops.aten.copy_.default:
        ends_there = isinstance(args[0], _Emulated)
    # A view that is made in inference mode must be of the kind of what it is a view of.
    with torch.inference_mode(False) if ends_there else nullcontext():
        found = func(*tree_map(_held, args), **tree_map(_held, kwargs))
        _count(begins_there, ends_there and func is not torch.ops.aten._local_scalar_dense.default, bool(tensors))
        if not ends_there:
            return found
        if func._schema.is_mutable:
            return kwargs.get("out", args[0] if args else None)
        return tree_map(lambda value: _Emulated(value) if isinstance(value, Tensor) else value, found)


def _count(begins_there: bool, ends_there: bool, begins_somewhere: bool) -> None:
    if begins_there and not ends_there:
        transfers["from"] += 1
    if ends_there and begins_somewhere and not begins_there:
        transfers["to"] += 1


def _held(value: Any) -> Any:
    return value.held if isinstance(value, _Emulated) else value
