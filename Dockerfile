# cleaner on CPUs. Not tested by the project: see docs/installation.md.
FROM python:3.12-slim
RUN pip install --no-cache-dir torch torchvision --index-url https://download.pytorch.org/whl/cpu
COPY pyproject.toml README.md LICENSE /source/
COPY cleaner /source/cleaner
RUN pip install --no-cache-dir '/source[formats]' && useradd --create-home cleaner && install -d -o cleaner /work
USER cleaner
WORKDIR /work
ENTRYPOINT ["cleaner"]
