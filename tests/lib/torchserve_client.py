"""torchserve_client.py: what scripts for TorchServe's inference interface do, over http.client:
ping, then a picture as a body (by POST, or by PUT as its own example's `curl -T` does) or as the
form's field `data`.

    client = Client("127.0.0.1", 8080)
    client.ping()
    best = client.predict(jpeg)     # {"tabby": 0.46, ...}, the most probable first
"""

import http.client
import json

TIMEOUT_S = 150


class ServerError(Exception):
    def __init__(self, status, body):
        self.status, self.body = status, body
        super().__init__(f"{status}: {body!r}")


class Client:
    def __init__(self, host, port, model="resnet50", version=None):
        self.host, self.port = host, port
        self.path = f"/predictions/{model}" + (f"/{version}" if version else "")

    def exchange(self, method, path, body=None, headers=None):
        connection = http.client.HTTPConnection(self.host, self.port, timeout=TIMEOUT_S)
        try:
            connection.request(method, path, body, headers or {})
            answer = connection.getresponse()
            text = answer.read()
        finally:
            connection.close()
        if answer.status != 200:
            raise ServerError(answer.status, text)
        return json.loads(text)

    def ping(self):
        return self.exchange("GET", "/ping")["status"]

    def predict(self, image):
        return self.exchange("POST", self.path, image)

    def upload(self, image):
        return self.exchange("PUT", self.path, image)

    def predict_form(self, image, field="data"):
        boundary = "----a-boundary-of-ours"
        head = (
            f'--{boundary}\r\nContent-Disposition: form-data; name="{field}"; '
            'filename="photo.jpg"\r\nContent-Type: image/jpeg\r\n\r\n'
        )
        body = head.encode() + image + f"\r\n--{boundary}--\r\n".encode()
        kind = f"multipart/form-data; boundary={boundary}"
        return self.exchange("POST", self.path, body, {"Content-Type": kind})
