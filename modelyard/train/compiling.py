"""Compiling a network before its first step, so that no step has to wait for it."""

from __future__ import annotations

from collections.abc import Callable, Iterable

import torch
from torch import nn

from modelyard.errors import InputError, first_line

Forward = Callable[[torch.Tensor], torch.Tensor]


def compiled(forward: Forward, device: torch.device) -> Forward:
    """The same, by ``torch.compile``; it is compiled when it is called, see ``warm_up``.

    Raises:
        InputError: there is no C++ compiler, which the CPU's code is made with.
    """
    # Imported here: it takes seconds, and few fits are compiled.
    import torch._inductor.config
    from torch._inductor.cpp_builder import get_cpp_compiler
    from torch._inductor.exc import InvalidCxxCompiler

    # One at a time in this process: a trial has few threads, and workers would outlive it.
    torch._inductor.config.compile_threads = 1
    if device.type == "cpu":
        try:
            get_cpp_compiler()
        except (InvalidCxxCompiler, RuntimeError) as error:
            raise _refusal("there is no C++ compiler here (install g++)") from error
    made: Forward = torch.compile(forward)
    return made


def warm_up(
    module: nn.Module, step: Callable[[torch.Tensor], None], examples: Iterable[torch.Tensor]
) -> None:
    """Let a compiled network see a batch of each size that it will meet.

    Weights, buffers and random numbers are afterwards as they were.

    Args:
        module: the network itself.
        step: a forward and a backward pass through the compiled one.
        examples: features of a batch of each size.

    Raises:
        InputError: it can't be compiled.
    """
    buffers = {name: buffer.clone() for name, buffer in module.named_buffers()}
    devices = {weight.device for weight in module.parameters() if weight.is_cuda}
    module.train()
    try:
        with torch.random.fork_rng(devices=list(devices)):
            for features in examples:
                step(features)
    except torch._dynamo.exc.BackendCompilerFailed as error:
        raise _refusal(first_line(error)) from error
    finally:
        for weight in module.parameters():
            weight.grad = None
        with torch.no_grad():
            for name, buffer in module.named_buffers():
                buffer.copy_(buffers[name])


def _refusal(why: str) -> InputError:
    return InputError(
        f"train.compile: the network can't be compiled: {why}; or write compile: false"
    )
