"""What a hub says of a repository: its commit, its files, and the checksum of each."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from pyomni.errors import ArgumentError, DownloadError
from pyomni.hub.extra import need

__all__ = ["Listing", "RemoteFile", "file_request", "listing", "refusal"]

TIMEOUT = 30.0  # seconds without a byte, of an answer or of a file
#: What a checkpoint in this layout consists of. Plain names in known places: no name can lead elsewhere.
_WANTED = re.compile(r"(?:speech_tokenizer/)?[A-Za-z0-9_][\w.-]*\.(?:json|txt|jinja|safetensors)", re.ASCII)


@dataclass(frozen=True)
class RemoteFile:
    """One file of a repository.

    Attributes
    ----------
    path : in the repository, with forward slashes
    size : bytes; None where the hub does not say
    checksum : ``sha256:...`` of a large file, ``git:...`` of one kept in git; None where the hub does not say
    """

    path: str
    size: int | None
    checksum: str | None

    @property
    def is_weights(self) -> bool:
        """Whether it is one of the large ones."""
        return self.path.endswith(".safetensors")


@dataclass(frozen=True)
class Listing:
    """A repository at one commit; of its files those that a conversion may read."""

    repo: str
    revision: str
    files: tuple[RemoteFile, ...]

    def identity(self, file: RemoteFile) -> str:
        """What tells a file's content from another's: its checksum, else the commit it belongs to."""
        return file.checksum or f"at:{self.revision}"


def listing(repo: str) -> Listing:
    """Ask the hub for a repository's files.

    Raises
    ------
    DownloadError
        There is no such repository, it is not ours to read, or the hub cannot be reached.
    ArgumentError
        The name is none that a hub has.
    """
    hub = need("huggingface_hub")
    try:
        info = hub.HfApi(library_name="pyomni").model_info(repo, files_metadata=True, timeout=TIMEOUT)
        files = tuple(_file(sibling) for sibling in info.siblings if _WANTED.fullmatch(sibling.rfilename))
        revision = info.sha
    except hub.errors.HFValidationError as error:
        raise ArgumentError(f"{repo!r}: no repository can have this name ({error})") from error
    except (OSError, hub.errors.HTTPError) as error:
        raise refusal(repo, error) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise _not_a_hub(repo, f"{type(error).__name__}: {error}") from error
    if not isinstance(revision, str) or not re.fullmatch(r"[0-9A-Za-z]{7,64}", revision):
        raise _not_a_hub(repo, f"a commit {revision!r}")
    return Listing(repo, revision, files)


def _not_a_hub(repo: str, found: str) -> DownloadError:
    return DownloadError(f"{repo}: the answer holds {found}, expected a hub's listing of a repository")


def _file(sibling: Any) -> RemoteFile:
    size = sibling.size
    checksum = None
    if sibling.lfs is not None:
        size, checksum = sibling.lfs.size, f"sha256:{sibling.lfs.sha256.lower()}"
    elif sibling.blob_id and size is not None:
        checksum = f"git:{sibling.blob_id.lower()}"
    if size is not None and (type(size) is not int or size < 0):
        raise ValueError(f"a size {size!r}")
    return RemoteFile(sibling.rfilename, size, checksum)


def file_request(repo: str, path: str, revision: str) -> tuple[str, dict[str, str]]:
    """Return the address of a file and the headers to ask for it with, the user's token among them."""
    hub = need("huggingface_hub")
    url = hub.hf_hub_url(repo, path, revision=revision)
    # identity: what is sent has the size that was promised, and a part of it can be asked for
    headers = {**hub.utils.build_hf_headers(library_name="pyomni"), "Accept-Encoding": "identity"}
    return url, headers


def refusal(repo: str, error: Exception) -> DownloadError:
    """Say in one sentence why a hub gave nothing."""
    errors = need("huggingface_hub").errors
    status = getattr(getattr(error, "response", None), "status_code", None)
    if isinstance(error, errors.OfflineModeIsEnabled):
        text = "is not here, and HF_HUB_OFFLINE forbids fetching it"
    elif isinstance(error, errors.GatedRepoError):
        text = "is open only to those who accepted its terms, expected a token of one of them in $HF_TOKEN"
    elif isinstance(error, errors.RepositoryNotFoundError) or status in (401, 404):
        text = (
            "the hub has no such repository, or a private one, expected a public one or a token in $HF_TOKEN"
        )
    elif status is not None:
        text = f"the hub answered with status {status}, expected the repository; try again later"
    else:
        text = f"the hub cannot be reached ({' '.join(str(error).split()) or type(error).__name__})"
    return DownloadError(f"{repo}: {text}")
