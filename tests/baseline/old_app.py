"""old_app.py: the service that is replaced, as its authors' tutorials have it: FastAPI, torchvision,
PIL. For Gunicorn: `old_app:app`.

WEIGHTS      a state_dict (.pth)
TORCH_THREADS  threads of one forward pass; as many as there are cores, if not given
TORCH_HOW    plain (as loaded), last (channels last, the faster layout), jit (traced, frozen and
             optimised: batch-norm folded)

`POST /predict` takes a picture as body or in a form's field `file`. `async def` all along: while a
worker computes it accepts nothing, so that the next request goes to one that is idle; with `def` and
a pool of threads health is answered sooner and fewer pictures are.
"""

import io
import os

import torch
import torchvision
from fastapi import FastAPI, HTTPException, Request
from PIL import Image, UnidentifiedImageError

TOP = 5
SHAPE = (1, 3, 224, 224)
RECIPE = torchvision.transforms.Compose([
    torchvision.transforms.Resize(256),
    torchvision.transforms.CenterCrop(224),
    torchvision.transforms.ToTensor(),
    torchvision.transforms.Normalize((0.485, 0.456, 0.406), (0.229, 0.224, 0.225)),
])  # fmt: skip
HOW = os.environ.get("TORCH_HOW", "plain")


def load():
    if "TORCH_THREADS" in os.environ:
        torch.set_num_threads(int(os.environ["TORCH_THREADS"]))
    net = torchvision.models.resnet50(weights=None)
    net.load_state_dict(torch.load(os.environ["WEIGHTS"], map_location="cpu"))
    net = net.eval()
    if HOW == "last":
        return net.to(memory_format=torch.channels_last)
    if HOW == "jit":
        with torch.no_grad():
            traced = torch.jit.freeze(torch.jit.trace(net, torch.zeros(SHAPE)))
            net = torch.jit.optimize_for_inference(traced)
            for _ in range(2):  # it optimises while it runs
                net(torch.zeros(SHAPE))
    return net


model = load()
app = FastAPI()


def classify(data):
    try:
        x = RECIPE(Image.open(io.BytesIO(data)).convert("RGB")).unsqueeze(0)
    except (UnidentifiedImageError, OSError) as error:
        raise HTTPException(400, "not an image") from error
    if HOW == "last":
        x = x.to(memory_format=torch.channels_last)
    with torch.no_grad():
        found = torch.softmax(model(x)[0], 0).topk(TOP)
    pairs = zip(found.indices.tolist(), found.values.tolist())
    return {"predictions": [{"class_id": i, "probability": p} for i, p in pairs]}


@app.get("/health")
async def health():
    return {"status": "ok"}


@app.post("/predict")
async def predict(request: Request):
    if request.headers.get("content-type", "").startswith("multipart/form-data"):
        return classify(await (await request.form())["file"].read())
    return classify(await request.body())
