"""AnalogMatrix: a matrix on crossbars with numpy's manners."""

from __future__ import annotations

from typing import Any, Self

import numpy as np
import torch
from torch import Tensor

from ohmlet.errors import OrderError
from ohmlet.linalg.crossbars import Crossbars
from ohmlet.linalg.numbers import as_block, finite, from_block, lines, paired, tensor_of
from ohmlet.linalg.reading import Reading
from ohmlet.units import seconds

__all__ = ["AnalogMatrix"]


class AnalogMatrix:
    """A matrix [m, n] on crossbars, or a part of one, or one seen from its outputs; `ohmlet.array` makes it.

        A @ x     x [n], [n, k] or [..., n, k]: each column is a vector that the crossbars multiply
        x @ A     x [m], [k, m] or [..., k, m]: the same crossbars driven at their outputs
        A.T, A.H, A[2:5, :], A[:, mask]    views of the same cells; lines that are not selected are not driven
        A[2:5, 0:2] = values               writes these cells anew and leaves all others as they are

    Products return what they are given, numpy arrays or torch tensors; with these, gradients reach x. `numpy.asarray(A)` is the matrix
    that was asked for, `A.read()` what the cells hold. Each product draws the noise of new vectors. A complex matrix is held as
    [[Re, -Im], [Im, Re]], four times as many cells; a real one multiplies complex vectors in two reads. scipy takes it as a linear
    operator.

    Raises ValueError for sizes that do not fit and for NaN, TypeError for complex values written into a real matrix.
    """

    __array_ufunc__ = None
    # numpy would otherwise take x @ A for a product with np.asarray(A).

    def __init__(
        self,
        held: Crossbars,
        rows: Tensor,
        columns: Tensor,
        *,
        is_complex: bool,
        is_tensor: bool,
        transposed: bool = False,
        conjugated: bool = False,
        frozen: tuple[Reading, Tensor, list[int]] | None = None,
    ) -> None:
        self._held, self._rows, self._columns = held, rows, columns
        self._complex, self._tensor, self._transposed, self._conjugated = is_complex, is_tensor, transposed, conjugated
        self._frozen = frozen

    def _view(self, **changes: Any) -> Self:
        view = object.__new__(type(self))
        vars(view).update(vars(self) | changes)
        return view

    @property
    def shape(self) -> tuple[int, int]:
        """Sizes (m, n)."""
        size = len(self._rows), len(self._columns)
        return size[::-1] if self._transposed else size

    @property
    def ndim(self) -> int:
        """2."""
        return 2

    @property
    def size(self) -> int:
        """The number of values."""
        return len(self._rows) * len(self._columns)

    @property
    def dtype(self) -> np.dtype[Any]:
        """The kind of its numbers, as numpy names it."""
        single = self._held.asked.dtype == torch.float32
        return np.dtype(("complex64" if single else "complex128") if self._complex else ("float32" if single else "float64"))

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        crossbars = len(self._held.array.blocks)
        return f"<AnalogMatrix {self.shape[0]} x {self.shape[1]} {self.dtype} on {crossbars} crossbar{'s' * (crossbars > 1)}>"

    # Views

    @property
    def T(self) -> Self:  # noqa: N802 - numpy's name
        """The transpose: the same cells, driven at their outputs."""
        return self._view(_transposed=not self._transposed)

    @property
    def H(self) -> Self:  # noqa: N802 - scipy's name
        """The conjugate transpose."""
        return self._view(_transposed=not self._transposed, _conjugated=self._complex and not self._conjugated)

    def __getitem__(self, key: Any) -> Self:
        rows, columns, _, _ = self._lines(key, drop=False)
        return self._view(_rows=rows, _columns=columns)

    def _lines(self, key: Any, *, drop: bool) -> tuple[Tensor, Tensor, bool, bool]:
        """Return the rows and columns of the cells that an index selects, and which of its parts are single numbers."""
        given = key if isinstance(key, tuple) else (key,)
        if len(given) > 2 or any(each is None or each is Ellipsis for each in given):
            raise IndexError(f"a matrix has rows and columns, and {key!r} is no pair of indices")
        first, second = (*given, slice(None))[:2]
        if not any(isinstance(each, slice | int | np.integer) for each in (first, second)):
            raise IndexError("numpy would take two lists for pairs of them; select rows first and then columns: A[rows][:, columns]")
        places, single = zip(
            *(
                lines(_plain(each), size, axis, drop=drop)
                for each, size, axis in zip((first, second), self.shape, ("row", "column"), strict=True)
            ),
            strict=True,
        )
        at = [torch.from_numpy(each).to(self._rows.device) for each in places]
        if self._transposed:
            at = at[::-1]
        return self._rows[at[0]], self._columns[at[1]], *single

    def at(self, t: float | str, *, compensated: bool = True) -> Self:
        """Return the matrix as it is `t` seconds (or "1 h", "10 years") after the first read-out, for products only.

        A pure view: the same numbers whatever was looked at before, and what is written later does not reach it. Time counts for all
        cells from the latest write. `compensated=False` leaves the drift compensation out.

        Raises ConfigError for a negative time and for a tile without a noise model.
        """
        if self._frozen is not None:
            raise OrderError("this is a matrix at one time already; ask the one that was programmed for another: A.at(t)")
        return self._view(_frozen=(self._held.at(seconds(t), compensated), self._held.asked.clone(), [0]))

    # Values

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray[Any, Any]:
        if copy is False:
            raise ValueError("what was asked for is copied out of an AnalogMatrix: leave copy=False out")
        values = self._values(self._held.asked if self._frozen is None else self._frozen[1]).cpu().numpy()
        return values if dtype is None else values.astype(dtype)

    def __array_function__(self, func: Any, types: Any, args: Any, kwargs: Any) -> Any:
        if func is np.dot and len(args) == 2 and not kwargs:
            a, b = args
            return a @ b if isinstance(a, AnalogMatrix) else b.__rmatmul__(a)
        if func in {np.shape, np.ndim, np.size} and len(args) == 1 and not kwargs:
            return getattr(self, func.__name__)
        # It would compute digitally, with what was asked for.
        raise TypeError(f"numpy.{func.__name__} cannot be computed on crossbars; give it numpy.asarray(A), what was asked for, or A.read()")

    def read(self) -> Any:
        """Return the values that the cells hold at this time, numpy's or torch's as the matrix was given.

        Without drift compensation, and without what a tile does to weights inside a product, such as slicing them into digits. Of a
        complex matrix the mean of its two copies; `cells` shows both.
        """
        return self._kind(self._values(self._now().matrix()))

    def cells(self) -> Any:
        """Return the values of all cells: as `read`, of a complex matrix the whole block [[Re, -Im], [Im, Re]] of real ones."""
        rows, columns = self._real_lines()
        values = self._now().matrix()[rows[:, None], columns]
        return self._kind(values.mT if self._transposed else values)

    def _now(self) -> Reading:
        return self._held.now() if self._frozen is None else self._frozen[0]

    def _values(self, whole: Tensor) -> Tensor:
        whole = (from_block(whole) if self._complex else whole).detach()
        values = whole[self._rows[:, None], self._columns]
        values = values.mT if self._transposed else values
        return values.conj().resolve_conj() if self._conjugated else values.clone()

    def _kind(self, values: Tensor) -> Any:
        return values if self._tensor else values.detach().cpu().numpy()

    def __setitem__(self, key: Any, values: Any) -> None:
        self._changeable("written")
        rows, columns, *single = self._lines(key, drop=True)
        given, _ = tensor_of(values, "values")
        self._real(given, "values")
        given = finite(given.detach(), "values").to(rows.device)
        size = (len(columns), len(rows)) if self._transposed else (len(rows), len(columns))
        shape = [count for count, alone in zip(size, single, strict=True) if not alone]
        try:
            given = given.broadcast_to(shape).reshape(size)
        except RuntimeError:
            raise ValueError(f"values of shape {tuple(given.shape)} do not fit a part of shape {tuple(shape)}") from None
        given = given.conj() if self._conjugated else given
        given = given.mT if self._transposed else given
        if self._complex:
            given = as_block(given.to(torch.complex128))
            rows, columns = (paired(each, count) for each, count in zip((rows, columns), self._whole(), strict=True))
        self._held.write(rows, columns, given.to(self._held.asked.dtype))

    def add_outer(self, u: Any, v: Any) -> None:
        """Add u v^T in pulses, u [m] or [m, k] and v [n] or [n, k]: k vectors, one after the other, as an update in training does.

        For tiles that learn in memory. How cells answer pulses is their devices' business, so the result is u v^T only on average, and
        only where these are linear. Raises OrderError for other tiles, TypeError for complex numbers, ValueError for sizes.
        """
        self._changeable("pulsed")
        if self._complex:
            raise TypeError("a complex matrix has each value in four cells, which one outer product cannot pulse")
        pair = []
        for value, size, what in zip((u, v), self.shape, ("u", "v"), strict=True):
            given, _ = tensor_of(value, what)
            self._real(given, what)
            given = finite(given.detach(), what)
            if given.ndim not in {1, 2} or len(given) != size:
                raise ValueError(f"{what} has shape {tuple(given.shape)}, and the matrix {self.shape}: it must be [{size}] or [{size}, k]")
            pair.append((given[:, None] if given.ndim == 1 else given).mT.to(self._held.asked))
        if len(pair[0]) != len(pair[1]):
            raise ValueError(f"u and v must hold as many vectors, not {len(pair[0])} and {len(pair[1])}")
        rows, columns = pair[::-1] if self._transposed else pair
        self._held.pulse(self._rows, self._columns, rows, columns)

    def _changeable(self, what: str) -> None:
        if self._frozen is not None:
            raise OrderError(f"a matrix at one time, A.at(t), is for products; the one that was programmed can be {what}")

    def _real(self, given: Tensor, what: str) -> None:
        if given.is_complex() and not self._complex:
            raise TypeError(f"{what} are {given.dtype}, and this matrix holds {self.dtype}; make a complex one, or take their real part")

    # Products

    def __matmul__(self, x: Any) -> Any:
        if isinstance(x, AnalogMatrix):
            raise TypeError("both factors are on crossbars; one of them must be digital: A @ numpy.asarray(B)")
        given, is_tensor = self._vectors(x)
        if given.ndim == 0 or given.shape[-2 if given.ndim > 1 else 0] != self.shape[1]:
            raise ValueError(
                f"A @ x of shapes {self.shape} and {tuple(given.shape)}: x must be [{self.shape[1]}] or [..., {self.shape[1]}, k]"
            )
        y = self._product(given if given.ndim == 1 else given.mT)
        return _as(y if given.ndim == 1 else y.mT, is_tensor)

    def __rmatmul__(self, x: Any) -> Any:
        given, is_tensor = self._vectors(x)
        if given.ndim == 0 or given.shape[-1] != self.shape[0]:
            raise ValueError(f"x @ A of shapes {tuple(given.shape)} and {self.shape}: x must be [..., {self.shape[0]}]")
        return _as(self.T._product(given), is_tensor)

    @classmethod
    def __torch_function__(cls, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if func in {torch.Tensor.__matmul__, torch.matmul, torch.Tensor.matmul} and len(args) == 2 and not kwargs:
            x, a = args
            return x @ a if isinstance(x, AnalogMatrix) else a.__rmatmul__(x)
        return NotImplemented

    def _vectors(self, x: Any) -> tuple[Tensor, bool]:
        """Return inputs as a tensor, numpy's on the device of the cells, and whether they came as one."""
        given, is_tensor = tensor_of(x, "x")
        return given if is_tensor else given.to(self._rows.device), is_tensor

    def _product(self, x: Tensor) -> Tensor:
        """Return the product [..., m] with vectors x [..., n]."""
        finite(x.detach(), "x")
        kind = self._held.asked.dtype
        vectors = x.reshape(-1, x.shape[-1])
        if not self._complex:
            y = self._multiply(torch.cat((vectors.real, vectors.imag)).to(kind) if x.is_complex() else vectors.to(kind))
            y = torch.complex(*y.chunk(2)) if x.is_complex() else y
        else:
            # Driven at their outputs the cells of the block compute with the conjugate transpose.
            turned = self._transposed != self._conjugated
            vectors = vectors.to(torch.complex64 if kind == torch.float32 else torch.complex128)
            vectors = vectors.conj() if turned else vectors
            pair = self._multiply(torch.cat((vectors.real, vectors.imag), dim=-1))
            y = torch.complex(*pair.chunk(2, dim=-1))
            y = y.conj() if turned else y
        return y.reshape(*x.shape[:-1], y.shape[-1]).resolve_conj()

    def _multiply(self, x: Tensor) -> Tensor:
        rows, columns = self._real_lines()
        if self._frozen is None:
            return self._held.multiply(x, rows, columns, self._transposed)
        reading, _, samples = self._frozen
        y = reading.multiply(x, rows, columns, self._transposed, samples[0])
        samples[0] += len(x)
        return y

    def _whole(self) -> tuple[int, int]:
        """Return the sizes of the whole matrix that this is a part of."""
        out, in_ = self._held.asked.shape
        return (out // 2, in_ // 2) if self._complex else (out, in_)

    def _real_lines(self) -> tuple[Tensor, Tensor]:
        if not self._complex:
            return self._rows, self._columns
        out, in_ = self._whole()
        return paired(self._rows, out), paired(self._columns, in_)

    # What scipy asks of a linear operator

    def matvec(self, x: Any) -> Any:
        """Return A @ x for x [n] or [n, 1]."""
        return self @ x

    def rmatvec(self, x: Any) -> Any:
        """Return A^H @ x for x [m] or [m, 1]."""
        return self.H @ x

    matmat, rmatmat, dot = matvec, rmatvec, matvec

    # State

    def state_dict(self) -> dict[str, Any]:
        """Return all tensors of the whole matrix, of its cells and of its noise's counters, by name."""
        return self._held.state_dict()

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Take over the state of a matrix of the same size and config; raises RuntimeError for any other."""
        self._changeable("loaded")
        self._held.seen = None
        self._held.load_state_dict(state)


def _plain(key: Any) -> Any:
    return key.cpu().numpy() if isinstance(key, Tensor) else list(key) if isinstance(key, tuple) else key


def _as(y: Tensor, is_tensor: bool) -> Any:
    return y if is_tensor else y.detach().cpu().numpy()
