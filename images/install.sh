#!/bin/sh
# What the build stage of every image runs, in two steps so that a change of the code alone reinstalls nothing else:
#
#     install.sh dependencies EXTRAS [REQUIREMENT ...]     /opt/kftext: the packages that the extras ask for, pinned
#     install.sh package                                   kftext itself, bytecode, and the warm cache of compiled kernels
#
# TENSORFLOW=cpu takes tensorflow-cpu in place of tensorflow, which other packages ask for by that name: 1.2 GB less.
set -eu
export UV_LINK_MODE=copy UV_PYTHON=/opt/kftext/bin/python UV_NO_CACHE=1
cd /src
case "$1" in
dependencies)
  extras=$2
  shift 2
  python3 -m venv /opt/kftext
  /opt/kftext/bin/pip install --quiet --no-cache-dir --disable-pip-version-check "uv==${UV_VERSION}"
  : > /src/overrides.txt
  if [ "${TENSORFLOW:-}" = cpu ]; then
    echo 'tensorflow ; sys_platform == "never"' > /src/overrides.txt
    set -- "$@" "tensorflow-cpu==$(sed -n 's/^tensorflow==\([^ ]*\).*/\1/p' constraints.txt)"
  fi
  /opt/kftext/bin/uv pip install --constraint constraints.txt --override overrides.txt ".[$extras]" "$@"
  ;;
package)
  /opt/kftext/bin/uv pip install --no-deps --reinstall-package kftext .
  site=$(/opt/kftext/bin/python -c 'import sysconfig; print(sysconfig.get_path("purelib"))')
  cp /build/kftext_image.py "$site/"
  echo 'import kftext_image' > "$site/kftext_image.pth"
  /opt/kftext/bin/uv pip uninstall --quiet pip uv
  # Numba and Python compare a source's time with the one they noted: whole seconds survive every image format.
  find "$site" -name '*.py' -exec touch --date="@${SOURCE_DATE_EPOCH}" {} +
  /opt/kftext/bin/python -m compileall -q -j 0 "$site" || true # some packages ship templates that are no Python
  if /opt/kftext/bin/python -c 'import numba' 2>/dev/null; then
    /opt/kftext/bin/python /build/warm.py /opt/kftext/numba
  fi
  # What nothing at run time reads.
  find /opt/kftext -type d -name tests -path '*/site-packages/*' -not -path '*/numba/*' -prune -exec rm -rf {} +
  ;;
*)
  echo "usage: install.sh dependencies EXTRAS [REQUIREMENT ...] | package" >&2
  exit 2
  ;;
esac
