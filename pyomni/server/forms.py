"""Forms with a file in them."""

from __future__ import annotations

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.formparsers import MultiPartException
from starlette.requests import Request

from pyomni.server.failures import BadRequest, TooLarge

__all__ = ["read_form"]


async def read_form(request: Request, file: str) -> tuple[dict[str, str], bytes | None]:
    """Return the fields of a form, and its file; the body's size is limited at the door.

    Parameters
    ----------
    file : str
        The name of the field that holds it.

    Raises
    ------
    BadRequest
        It is no form, or has more than a file and 16 fields.
    """
    try:
        async with request.form(max_files=1, max_fields=16) as form:
            sample = form.get(file)
            data = await sample.read() if isinstance(sample, UploadFile) else None
            return {key: value for key, value in form.items() if isinstance(value, str)}, data
    except TooLarge:
        raise
    except (MultiPartException, HTTPException, ValueError) as error:
        words = error.detail if isinstance(error, HTTPException) else str(error)
        raise BadRequest(f"the form cannot be read: {words}") from None
