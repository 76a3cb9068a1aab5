"""A stand-in for KServe's controller (0.21, Standard mode, Gateway API) and for a gateway, for tests on a real cluster.

It stands for what a deployment meets, lies included: Deployments, Services, weighted HTTPRoutes, webhooks that refuse,
a status that says Ready too early or for the wrong version, and old pods that go before the gateway knows. Pods are
real, made by the cluster's own controllers from the InferenceService's own image.

In namespaces that ask for it by a label it plays older releases, or one without HTTPRoutes (`releases.py`).

It does not stand for: Knative, transformers, explainers, graphs, loggers and batchers, KEDA, several rules in a route,
gRPC. It puts the storage initializer into the Deployment, where KServe's webhook puts it into the pod, and it polls
twice a second, where KServe watches.
"""
