# The page in a container, on the CPU:
#   docker build -t anomaly-lab . && docker run -p 7860:7860 anomaly-lab
# With nothing writable but two folders, and detectors kept from run to run:
#   docker run --read-only --tmpfs /tmp -v anomaly-lab:/cache -p 7860:7860 anomaly-lab
FROM python:3.11-slim

# TORCH_INDEX is the address of torch's own package index, DEVICE the build that is taken from it: cpu, or one for CUDA.
# Without the address pip's default build is installed, which serves both and is gigabytes larger.
# PIP_INDEX_URL names another index than pip's default for everything else.
ARG TORCH_INDEX=""
ARG DEVICE=cpu
ARG PIP_INDEX_URL

RUN useradd --create-home --uid 1000 lab && install -d -o lab -g lab /cache
WORKDIR /home/lab/app
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore

# The largest layer first; what changes most often last. All of it belongs to root: the page only reads it.
COPY requirements.txt .
RUN grep '^torch' requirements.txt > /tmp/torch.txt \
    && pip install ${TORCH_INDEX:+--index-url "$TORCH_INDEX/$DEVICE"} -r /tmp/torch.txt -c requirements.txt \
    && rm /tmp/torch.txt
RUN pip install -r requirements.txt
COPY weights weights
COPY app.py LICENSE ./
COPY lab lab

USER 1000
ENV PYTHONUNBUFFERED=1 GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=7860 \
    LAB_CACHE=/cache HF_HOME=/cache/huggingface GRADIO_TEMP_DIR=/tmp/gradio XDG_CACHE_HOME=/tmp/.cache
VOLUME /cache
EXPOSE 7860
# Python ignores SIGTERM where it is the first process
STOPSIGNAL SIGINT
HEALTHCHECK --start-period=60s CMD ["python", "-c", "import os, urllib.request; urllib.request.urlopen('http://127.0.0.1:' + os.environ['GRADIO_SERVER_PORT'])"]
CMD ["python", "app.py"]
