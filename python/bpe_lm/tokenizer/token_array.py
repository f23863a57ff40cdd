"""The ids of token files as arrays, and their documents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, Protocol, overload

import numpy as np
import numpy.typing as npt

from bpe_lm import _core
from bpe_lm.files import StrPath

Ids = npt.NDArray[np.unsignedinteger[Any]]


class Sliced(Protocol):
    """Numbers whose slices are arrays: an array, or `Joined`."""

    def __len__(self) -> int: ...

    def __getitem__(self, part: Any, /) -> Any: ...


class Documents(Sequence[Ids]):
    """The documents of a token file: `len(documents)` is their number, and `documents[i]` has the ids of one.

    A document ends with its separator, or where the file ends. `starts[i]` is the number of the first id of a document;
    the numbers grow, and are mapped into memory.
    """

    def __init__(self, tokens: Sliced, starts: Sliced):
        self._tokens, self.starts = tokens, starts

    def __len__(self) -> int:
        """Return the number of documents."""
        return len(self.starts)

    @overload
    def __getitem__(self, number: int) -> Ids: ...

    @overload
    def __getitem__(self, number: slice) -> list[Ids]: ...

    def __getitem__(self, number: int | slice) -> Ids | list[Ids]:
        """Return the ids of a document, counted from 0 or, if negative, from the end; or a list for a slice."""
        if isinstance(number, slice):
            return [self._document(place) for place in range(len(self))[number]]
        return self._document(range(len(self))[number])

    def __iter__(self) -> Iterator[Ids]:
        """Yield the ids of each document."""
        return map(self._document, range(len(self)))

    def _document(self, number: int) -> Ids:
        end = self.starts[number + 1] if number + 1 < len(self.starts) else len(self._tokens)
        ids: Ids = self._tokens[int(self.starts[number]) : int(end)]
        return ids


class TokenArray(np.memmap[Any, np.dtype[np.unsignedinteger[Any]]]):
    """The ids of a token file, mapped into memory, read-only. A part of it is a plain array that shares the memory."""

    path: StrPath

    @property
    def documents(self) -> Documents:
        """The documents of the file.

        Raises:
            TokenFileError: The file has no index (it was encoded without), or another one.
            FileError: The index could not be read.
        """
        return Documents(self, document_starts(self.path))

    def __getitem__(self, index: Any) -> Any:
        """Return a part of the ids as a plain array."""
        return self.view(np.ndarray)[index]

    def __array_wrap__(self, array: Any, context: Any = None, return_scalar: bool = False) -> Any:
        """Return the result of a calculation as a plain array or a number."""
        plain = np.asarray(array)
        return plain[()] if return_scalar else plain


class Joined:
    """Arrays one after another, read as one array of one dimension. Nothing is copied before it is asked for.

    A slice with the step 1 that lies in one of them is a view of it. Any other part is a new array: of a slice, whole
    numbers in any shape, or truth values. `added[i]` is added to the numbers of array i.
    """

    ndim = 1

    def __init__(self, parts: Sequence[npt.NDArray[Any]], added: Sequence[int] | None = None):
        kept = [(part, number) for part, number in zip(parts, added or [0] * len(parts), strict=True) if len(part)]
        self.dtype = parts[0].dtype
        self._parts, self._added = [part for part, _ in kept], [number for _, number in kept]
        self._bounds = np.cumsum([0, *map(len, self._parts)], dtype=np.int64)

    @property
    def parts(self) -> list[npt.NDArray[Any]]:
        """The arrays that are not empty."""
        return self._parts

    def __len__(self) -> int:
        """Return the number of elements."""
        return int(self._bounds[-1])

    @property
    def size(self) -> int:
        """The number of elements."""
        return len(self)

    @property
    def shape(self) -> tuple[int]:
        """The number of elements, as the shape of an array."""
        return (len(self),)

    def __getitem__(self, index: Any) -> Any:
        """Return an element, or some of them as an array."""
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            return self._slice(start, max(start, stop)) if step == 1 else self._gather(np.arange(start, stop, step))
        places = np.asarray(index)
        if places.dtype == bool:
            if places.shape != self.shape:
                raise IndexError(f"{places.shape} truth values do not choose from {self.shape} elements")
            places = np.flatnonzero(places)
        if places.size == 0:
            places = places.astype(np.int64)
        if places.dtype.kind not in "iu":
            raise IndexError("only whole numbers, slices and truth values choose elements")
        found = self._gather(places.astype(np.int64, copy=False))
        return found[()] if found.ndim == 0 else found

    def __iter__(self) -> Iterator[Any]:
        """Yield each element."""
        for part, number in zip(self._parts, self._added, strict=True):
            yield from part + number if number else part

    def __array__(self, dtype: npt.DTypeLike | None = None, copy: bool | None = None) -> npt.NDArray[Any]:
        """Copy all elements into one array."""
        if copy is False:
            raise ValueError("joined token files become one array only by a copy")
        return np.asarray(self._slice(0, len(self)), dtype=dtype)

    def tolist(self) -> list[int]:
        """Return all elements as a list."""
        return list(np.asarray(self).tolist())

    def _slice(self, start: int, stop: int) -> npt.NDArray[Any]:
        first = max(int(np.searchsorted(self._bounds, start, "right")) - 1, 0)
        pieces = []
        for number in range(first, len(self._parts)):
            low, high = int(self._bounds[number]), int(self._bounds[number + 1])
            if low >= stop:
                break
            piece = self._parts[number][max(start - low, 0) : min(stop, high) - low]
            pieces.append(piece + self._added[number] if self._added[number] else piece)
        if len(pieces) == 1:
            return pieces[0]
        return np.concatenate(pieces) if pieces else np.empty(0, dtype=self.dtype)

    def _gather(self, places: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
        places = np.where(places < 0, places + len(self), places)
        if places.size and not (places.min() >= 0 and places.max() < len(self)):
            raise IndexError(f"there are {len(self):,} elements, and one beyond them was asked for")
        numbers = np.searchsorted(self._bounds, places, "right") - 1
        found = np.empty(places.shape, dtype=self.dtype)
        for number in np.unique(numbers):
            here = numbers == number
            found[here] = self._parts[number][places[here] - self._bounds[number]] + self._added[number]
        return found


class JoinedTokens(Joined):
    """The ids of joined token files, one after another."""

    def __init__(self, path: StrPath, arrays: Sequence[Ids], paths: Sequence[StrPath]):
        super().__init__(arrays)
        self.path, self._paths, self._lens = path, paths, list(map(len, arrays))

    @property
    def documents(self) -> Documents:
        """The documents of all files. A document may reach from one file into the next.

        Raises:
            TokenFileError: A file has no index (it was encoded without), or another one.
            FileError: An index could not be read.
        """
        before = np.cumsum([0, *self._lens[:-1]]).tolist()
        return Documents(self, Joined([document_starts(path) for path in self._paths], before))


def open_array(path: StrPath, dtype: str, offset: int, count: int) -> TokenArray:
    """Map ids that follow `offset` bytes of a file into memory."""
    kind = np.dtype(dtype).newbyteorder("<")
    if count == 0:
        tokens = np.empty(0, dtype=kind).view(TokenArray)
    else:
        tokens = TokenArray(path, dtype=kind, mode="r", offset=offset, shape=(count,))
    tokens.path = path
    return tokens


def document_starts(path: StrPath) -> npt.NDArray[np.int64]:
    """Map the index of a token file into memory.

    Raises:
        TokenFileError: The file has no index (it was encoded without), or another one.
        FileError: The index could not be read.
    """
    index, offset, number = _core.open_document_index(path)
    if number == 0:
        return np.empty(0, dtype=np.int64)
    return np.memmap(index, dtype="<i8", mode="r", offset=offset, shape=(number,))
