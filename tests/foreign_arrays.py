"""Arrays as libraries of accelerators hand them over, without such a library."""

from input_rows import ROWS


class OfAnotherLibrary:
    """An array of JAX as CuPy would hand it over: by DLPack alone."""

    def __init__(self, array):
        self.array, self.shape, self.dtype = array, array.shape, array.dtype

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def __dlpack__(self, **options):
        return self.array.__dlpack__(**options)

    def __dlpack_device__(self):
        return self.array.__dlpack_device__()


class OfADevice:
    """A tensor on a device that JAX does not use, as CuPy would hand it over."""

    shape, ndim, dtype, device = ROWS.shape, 2, ROWS.dtype, "cuda:0"

    def __array__(self, dtype=None, copy=None):
        raise TypeError("Implicit conversion to a NumPy array is not allowed")

    def __dlpack_device__(self):
        return 2, 0  # kDLCUDA

    def __dlpack__(self, **options):
        raise BufferError("no such device")

    def __len__(self):
        return len(ROWS)

    def __getitem__(self, some):
        return self


class Pinned:
    """A tensor in memory of the host that a device reads, as one of PyTorch has it."""

    shape, ndim, dtype = ROWS.shape, 2, ROWS.dtype

    def __init__(self, device_type):
        self.device_type = device_type

    def __array__(self, dtype=None, copy=None):
        return ROWS

    def __dlpack_device__(self):
        return self.device_type, 0

    def __dlpack__(self, **options):
        raise BufferError("no such device")
