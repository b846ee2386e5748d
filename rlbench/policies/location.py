"""Where the files of a base policy are: a folder, a folder under the data folder, or the Hugging Face hub."""

from __future__ import annotations

from pathlib import Path

from rlbench.errors import InputError
from rlbench.spec import BasePolicy

_COPIED = (".json", ".safetensors", ".model", ".txt", ".jinja")


def model_files(folder: Path, what: str = "base policy") -> list[Path]:
    """The files of a Hugging Face model folder that make the model: configuration, safetensors, tokenizer.

    `what` is what messages call it.

    Raises:
        InputError: the folder is missing or holds no model.
    """
    if not folder.is_dir():
        raise InputError(f"{what}: folder {folder} does not exist; check its path (and --data-dir for `data`)")
    files = [path for path in sorted(folder.iterdir()) if path.suffix in _COPIED and path.is_file()]
    if not any(path.suffix == ".safetensors" for path in files) or not (folder / "config.json").is_file():
        raise InputError(f"{what}: {folder} has no config.json or no *.safetensors; expected a Hugging Face folder")
    return files


def locate(policy: BasePolicy, data_dir: Path | None) -> Path | None:
    """Where the base policy's files are; None if rlbench builds it. A hub policy is downloaded into the hub's cache.

    Raises:
        InputError: it cannot be found.
    """
    if policy.path is not None:
        return Path(policy.path)
    if policy.data is not None:
        if data_dir is None:
            raise InputError(
                f"base_policy.data is {policy.data!r}, which is a folder under the data folder; name that with "
                f"--data-dir or RLBENCH_DATA_DIR"
            )
        return data_dir / policy.data
    if policy.hub is not None:
        return download(policy.hub, policy.revision, "base_policy.hub")
    return None


def download(name: str, revision: str | None, what: str) -> Path:
    """The snapshot of a hub model in the hub's cache, whose folder has the name of its commit; `what` names the key.

    Raises:
        InputError: it cannot be fetched.
    """
    from huggingface_hub import snapshot_download

    wanted = [f"*{suffix}" for suffix in _COPIED]
    try:
        return Path(snapshot_download(name, revision=revision, allow_patterns=wanted))
    except Exception as error:
        first = (str(error).strip() or type(error).__name__).splitlines()[0]
        raise InputError(
            f"{what}: {name!r} cannot be fetched from the hub: {first}; check the id and the network, or give a local "
            f"folder instead"
        ) from error
