"""tfserving_client.py: what scripts for TensorFlow Serving's REST interface do, over urllib: wait
until the model is AVAILABLE, look at its signature, post instances or inputs, read predictions or
outputs. It knows the server only by that interface's documentation.

    client = Client("http://127.0.0.1:8080")
    client.wait_available()
    probabilities = client.predict([jpeg])[0]
"""

import base64
import json
import time
import urllib.error
import urllib.request

TIMEOUT_S = 150


class ServerError(Exception):
    """Their errors are an object with a string `error`."""

    def __init__(self, status, text):
        self.status, self.error = status, json.loads(text)["error"]
        super().__init__(f"{status}: {self.error}")


def b64(data):
    return {"b64": base64.b64encode(data).decode("utf-8")}


class Client:
    def __init__(self, server, model="resnet50", version=None):
        self.url = f"{server}/v1/models/{model}" + (f"/versions/{version}" if version else "")

    def exchange(self, url, body=None):
        """body: posted without a word about its type, as curl -d and requests.post(data=) do."""
        try:
            with urllib.request.urlopen(url, body, TIMEOUT_S) as answer:
                return answer.read()
        except urllib.error.HTTPError as error:
            raise ServerError(error.code, error.read()) from error

    def state(self):
        status = json.loads(self.exchange(self.url))["model_version_status"][0]
        if status["status"]["error_code"] != "OK":
            raise ValueError(status)
        return status["state"]

    def wait_available(self, seconds=60):
        deadline = time.monotonic() + seconds
        while self.state() != "AVAILABLE":
            if time.monotonic() > deadline:
                raise TimeoutError("the model does not become available")
            time.sleep(0.1)

    def signature(self, name="serving_default"):
        found = json.loads(self.exchange(self.url + "/metadata"))
        return found["metadata"]["signature_def"]["signature_def"][name]

    def post(self, request):
        """The answer's text."""
        return self.exchange(self.url + ":predict", json.dumps(request).encode()).decode()

    def predict(self, images):
        """Row format, the tensor without its name."""
        return json.loads(self.post({"instances": [b64(i) for i in images]}))["predictions"]

    def predict_named(self, images):
        """Row format, as the signature names its input."""
        (name,) = self.signature()["inputs"]
        request = {"signature_name": "serving_default", "instances": [{name: b64(i)} for i in images]}
        return json.loads(self.post(request))["predictions"]

    def predict_columns(self, images):
        """Column format."""
        (name,) = self.signature()["inputs"]
        return json.loads(self.post({"inputs": {name: [b64(i) for i in images]}}))["outputs"]
