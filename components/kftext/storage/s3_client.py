"""The S3 client: where its endpoint, region and credentials come from, and what its errors mean in words.

Configuration is the standard AWS one, so that a pod, a laptop and other S3 tools share it:

- endpoint: `AWS_ENDPOINT_URL_S3`, else `AWS_ENDPOINT_URL` (http or https), else AWS;
- region: `AWS_REGION`, else `AWS_DEFAULT_REGION`; with neither, AWS is asked for the bucket's, and other stores get us-east-1;
- credentials: `AWS_ACCESS_KEY_ID`, `AWS_SECRET_ACCESS_KEY` and `AWS_SESSION_TOKEN`, else the profile `AWS_PROFILE` of
  `~/.aws/credentials` (or `AWS_SHARED_CREDENTIALS_FILE`), else the role of the pod, container or instance;
- a private certificate authority: `AWS_CA_BUNDLE`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit
from xml.etree.ElementTree import ParseError

import certifi
import urllib3
from minio import Minio
from minio.credentials import (
    AWSConfigProvider,
    ChainedProvider,
    Credentials,
    EnvAWSProvider,
    IamAwsProvider,
    Provider,
)
from minio.error import InvalidResponseError, MinioException, S3Error
from urllib3.exceptions import HTTPError, MaxRetryError, SSLError

from kftext.errors import StorageError
from kftext.storage.uri import S3Path

__all__ = ["RETRIES", "check_etag", "client", "translate_errors"]

RETRIES = 5
"""How often a request, or a broken download, is tried again: after 0, 0.4, 0.8, 1.6 and 3.2 s."""

_ENDPOINT_VARIABLES = ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL")
_NO_CREDENTIALS = (
    "no S3 credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or write a profile into ~/.aws/credentials, "
    "or give the pod a role"
)

# What a server's error code means to the person who reads it. {path} is the URI, {bucket} the bucket, {endpoint} the server.
_MEANINGS = {
    "NoSuchKey": "no such object: {path}",
    "NoSuchBucket": "no such bucket: {bucket} ({path}, at {endpoint})",
    "AccessDenied": "{path}: access denied: the credentials in use lack the permission",
    "AllAccessDisabled": "{path}: access denied",
    "InvalidAccessKeyId": "{path}: {endpoint} does not know the access key: check AWS_ACCESS_KEY_ID",
    "SignatureDoesNotMatch": "{path}: wrong secret: AWS_SECRET_ACCESS_KEY does not belong to AWS_ACCESS_KEY_ID at {endpoint}",
    "ExpiredToken": "{path}: the session token has expired: renew AWS_SESSION_TOKEN",
    "InvalidToken": "{path}: the session token is not valid: check AWS_SESSION_TOKEN",
    "RequestTimeTooSkewed": "{path}: this machine's clock differs too much from that of {endpoint}",
    "PreconditionFailed": "{path} was changed while it was read: start again",
    "PermanentRedirect": "{path}: the bucket is in another region ({message}): set AWS_REGION",
    "AuthorizationHeaderMalformed": "{path}: wrong region ({message}): set AWS_REGION",
}


@dataclass(frozen=True)
class _Endpoint:
    url: str
    variable: str | None

    @classmethod
    def configured(cls) -> _Endpoint:
        for variable in _ENDPOINT_VARIABLES:
            if url := os.environ.get(variable):
                return cls(url, variable)
        return cls("https://s3.amazonaws.com", None)

    def __str__(self) -> str:
        return f"{self.url} (from {self.variable})" if self.variable else self.url


class _Role(Provider):
    """The role of the pod, container or instance; asked briefly, as most machines have none."""

    def __init__(self) -> None:
        timeout = urllib3.Timeout(connect=2, read=10)
        self._provider = IamAwsProvider(
            http_client=urllib3.PoolManager(timeout=timeout, retries=urllib3.Retry(total=1))
        )

    def retrieve(self) -> Credentials:
        """Return the role's credentials; ValueError tells the chain that there are none."""
        if os.environ.get("AWS_EC2_METADATA_DISABLED", "").lower() == "true":
            raise ValueError("the instance's role is switched off by AWS_EC2_METADATA_DISABLED")
        try:
            return self._provider.retrieve()
        except (HTTPError, OSError, KeyError) as error:
            raise ValueError(f"no role: {error}") from error


def client() -> Minio:
    """Return the client of the environment as it is now; one a process and configuration, safe among threads.

    Raises:
        StorageError: the endpoint is no http(s) URL.
    """
    # A connection pool must not be shared with a forked process: hence the process number.
    settings = {name: value for name, value in os.environ.items() if name.startswith("AWS_")}
    return _client(os.getpid(), os.environ.get("HOME"), *sorted(settings.items()))


@lru_cache(maxsize=4)
def _client(*_environment: object) -> Minio:
    endpoint = _Endpoint.configured()
    url = urlsplit(endpoint.url)
    if "@" in endpoint.url:
        raise StorageError(
            f"{endpoint.variable} holds a user name or password: they belong into AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY"
        )
    if url.scheme not in ("http", "https") or not url.netloc or url.path.strip("/") or url.query:
        raise StorageError(
            f"{endpoint.variable}={endpoint.url!r}: expected http://host:port or https://host:port"
        )
    bundle = os.environ.get("AWS_CA_BUNDLE")
    if bundle and not Path(bundle).is_file():
        raise StorageError(f"AWS_CA_BUNDLE={bundle}: no such file")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    if not region and endpoint.variable and not (url.hostname or "").endswith("amazonaws.com"):
        region = "us-east-1"
    return Minio(
        url.netloc,
        secure=url.scheme == "https",
        region=region,
        credentials=ChainedProvider([EnvAWSProvider(), AWSConfigProvider(), _Role()]),
        http_client=urllib3.PoolManager(
            maxsize=16,
            # urllib3 sends a whole request under the connect timeout: a part of 8 MiB must fit into it on a slow line.
            timeout=urllib3.Timeout(connect=30, read=60),
            ca_certs=bundle or certifi.where(),
            retries=urllib3.Retry(
                total=RETRIES,
                backoff_factor=0.2,
                status_forcelist=[500, 502, 503, 504],
                allowed_methods=None,  # POST as well: starting and completing a multipart upload
                raise_on_status=False,  # the last answer names the reason
            ),
        ),
    )


@contextmanager
def translate_errors(path: S3Path) -> Iterator[None]:
    """Raise StorageError, in words, in place of what the client, the network and the server raise."""
    endpoint = _Endpoint.configured()
    try:
        yield
    except S3Error as error:
        raise StorageError(_explain(error, path, endpoint)) from None
    except (InvalidResponseError, ParseError):
        raise StorageError(_not_s3(path, endpoint)) from None
    except MinioException as error:
        raise StorageError(f"{path}: {endpoint}: {error}") from None
    except MaxRetryError as error:
        raise StorageError(_explain_network(error.reason or error, path, endpoint)) from None
    except HTTPError as error:
        raise StorageError(_explain_network(error, path, endpoint)) from None
    except OSError as error:
        raise StorageError(f"{path}: {endpoint}: {error.strerror or error}") from None
    except ValueError as error:
        # The client's own checks: a bucket name that can't be, no credentials.
        message = str(error)
        if message == "All providers fail to fetch credentials":
            message = _NO_CREDENTIALS
        raise StorageError(f"{path}: {message}") from None


def check_etag(path: S3Path, etag: str | None) -> None:
    """Refuse an answer without an ETag, which each object has: MinIO's console, say, answers any path with its page.

    Raises:
        StorageError: there is none.
    """
    if not etag:
        raise StorageError(_not_s3(path, _Endpoint.configured()))


def _not_s3(path: S3Path, endpoint: _Endpoint) -> str:
    return f"{path}: the answer of {endpoint} is not S3's: is it an S3 endpoint, and not a console or another web server?"


def _explain(error: S3Error, path: S3Path, endpoint: _Endpoint) -> str:
    meaning = _MEANINGS.get(error.code or "", "{path}: {endpoint} answered {code}: {message}")
    return meaning.format(
        path=path, bucket=path.bucket, endpoint=endpoint, code=error.code, message=error.message
    )


def _explain_network(error: Exception, path: S3Path, endpoint: _Endpoint) -> str:
    if isinstance(error, SSLError):
        return (
            f"{path}: TLS with {endpoint} failed: {error}; AWS_CA_BUNDLE names a private certificate authority, "
            "and a store without TLS wants an endpoint that starts with http://"
        )
    # urllib3 puts the connection object's representation before the reason.
    reason = str(error).rpartition(": ")[2].strip()
    hint = "" if endpoint.variable else "; AWS_ENDPOINT_URL names another S3 store than AWS"
    return f"{path}: can't reach {endpoint}: {reason}{hint}"
