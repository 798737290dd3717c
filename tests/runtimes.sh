#!/bin/sh
# Run the backend tests on runtimes that cannot share an environment with the default ones.
#
#   tests/runtimes.sh legacy DIR     tflite-runtime 2.14 with numpy 1 (Python 3.10 or 3.11)
#   tests/runtimes.sh openvino DIR   onnxruntime-openvino (x86-64, any Python)
#
# DIR holds the virtual environment; it is made when it is not there. PYTHON chooses the
# interpreter. No part of the default environment is touched.
set -eu
which=$1
venv=$2
cd "$(dirname "$0")/.."

case $which in
legacy) packages="tflite-runtime==2.14.0 numpy==1.26.4 opencv-python-headless==4.11.0.86 onnxruntime" ;;
openvino) packages="onnxruntime-openvino openvino ai-edge-litert opencv-python-headless" ;;
*) echo "unknown set: $which" >&2; exit 2 ;;
esac

[ -x "$venv/bin/python" ] || "${PYTHON:-python3}" -m venv "$venv"
# shellcheck disable=SC2086  # a list of packages
"$venv/bin/python" -m pip install --quiet $packages click pytest pytest-timeout
exec "$venv/bin/python" -m pytest -q \
    tests/contracts/test_backend_contract.py tests/unit/test_backend_tflite.py \
    tests/unit/test_backend_onnx.py tests/unit/test_doctor.py tests/unit/test_profile.py \
    tests/golden/test_models_backends.py
