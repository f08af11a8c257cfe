# The page in a container: docker build -t anomaly-lab . && docker run -p 7860:7860 anomaly-lab
FROM python:3.11-slim
# Where torch comes from: the registry's default build runs on CPU and CUDA; name a CPU-only index to save gigabytes.
ARG TORCH_INDEX=""
WORKDIR /home/lab/app
RUN useradd --create-home --uid 1000 lab
COPY requirements.txt .
RUN pip install --no-cache-dir ${TORCH_INDEX:+--extra-index-url "$TORCH_INDEX"} -r requirements.txt
COPY --chown=lab app.py README.md LICENSE ./
COPY --chown=lab lab lab
COPY --chown=lab weights weights
USER lab
ENV GRADIO_SERVER_NAME=0.0.0.0 GRADIO_SERVER_PORT=7860 LAB_CACHE=/tmp/anomaly-lab HF_HOME=/tmp/huggingface
EXPOSE 7860
HEALTHCHECK --start-period=60s CMD python -c "import urllib.request; urllib.request.urlopen('http://127.0.0.1:7860/')"
CMD ["python", "app.py"]
