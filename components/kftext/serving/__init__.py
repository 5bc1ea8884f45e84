"""Model server: KServe's Python server with the protocols of KServe (V1, V2, gRPC) and SageMaker on one port.

    python -m kftext.serving --model_name sentiment --model_dir model.tar.gz --http_port 8080

`__main__` reads the flags, `server` starts KServe's server, `front` answers predictions ahead of KServe's routes, one module a
protocol translates (`v1`, `v2`, `grpc_v2`, `sagemaker`), `query` says what can be asked of a model and `loading` what is served.
"""
