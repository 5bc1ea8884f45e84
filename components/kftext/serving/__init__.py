"""Model server: KServe's Python server with the protocols of KServe (V1, V2, gRPC) and SageMaker on one port.

    python -m kftext.serving --model_name sentiment --model_dir model.tar.gz --http_port 8080
    curl localhost:8080/v1/models/sentiment:predict -d '{"instances": ["the movie was excellent"]}'

A request goes through `front` (limits, keys, access log), which finds the protocol (`v1`, `v2`, `sagemaker`, `cloud_events`; gRPC in
`grpc_v2`); the protocol reads a `query` and later writes its answer; `scheduling` says when and where a `model` answers, `batching` for
several requests together. `loading` makes a model from what is on disk, `server` listens, drains and reloads, `kserve_model` is what
KServe's own parts see.
"""
