"""3x3 convolutions by PyTorch: what torch.nn.functional.conv2d and its autograd call."""
import torch
from peer import VARIANT, compiled, measure


def conv(op, n, side, channels, seconds):
    torch._dynamo.reset()
    layout = torch.channels_last if VARIANT == "channels_last" else torch.contiguous_format
    x, dy = (torch.rand(n, channels, side, side).to(memory_format=layout) for _ in range(2))
    w = torch.rand(channels, channels, 3, 3).to(memory_format=layout)
    bias = torch.rand(channels)

    def backward(mask):  # the one op that autograd runs for both gradients
        return torch.ops.aten.convolution_backward(dy, x, w, [channels], [1, 1], [1, 1], [1, 1], False, [0, 0], 1, mask)

    call = compiled({
        "forward": lambda: torch.nn.functional.conv2d(x, w, bias, padding=1),
        "input": lambda: backward([True, False, False]),
        "weight": lambda: backward([False, True, False]),
    }[op])
    with torch.no_grad():
        return {"seconds": measure(call, seconds)}
