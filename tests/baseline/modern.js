// modern.js: what an engineer would build instead, with every setting that helps it: a Node cluster of
// some processes, sharp for decoding and resizing, ONNX Runtime for the network. nginx is in front and
// sends each request to whoever has least to do.
//
//   node modern.js DIRECTORY MODEL.onnx WORKERS THREADS    from where npm has put its packages
//
// Worker n listens on DIRECTORY/n.sock once it is warm. MODEL.json beside the model says that it takes
// bytes, and what they mean. A worker that ends is replaced; SIGHUP replaces all, one by one, each
// before the old one leaves; SIGTERM ends.
'use strict';
const cluster = require('cluster');
const fs = require('fs');
const http = require('http');
const path = require('path');

const here = (name) => require(require.resolve(name, { paths: [process.cwd()] }));
const [directory, model, workers, threads] = process.argv.slice(2);

const SIDE = 224, RESIZE = 256, TOP = 5, PIXELS = SIDE * SIDE;
const MEAN = [0.485, 0.456, 0.406], STD = [0.229, 0.224, 0.225];
const MAX_BODY = 16 << 20;

// ---- the primary process -------------------------------------------------------------------------

function primary() {
  const serving = new Map(), latest = new Map(); // slot -> worker; slot -> the last one started
  let ending = false;

  function start(slot) {
    const worker = cluster.fork({ SLOT: slot });
    latest.set(slot, worker);
    worker.once('message', () => {
      const old = latest.get(slot) === worker ? serving.get(slot) : worker;
      if (old !== worker) serving.set(slot, worker);
      if (old && old.isConnected()) old.send('leave');
    });
    worker.once('exit', () => {
      if (!ending && latest.get(slot) === worker) start(slot);
    });
  }

  function reload() {
    for (let slot = 0; slot < +workers; slot++) start(slot);
  }

  for (let slot = 0; slot < +workers; slot++) start(slot);
  process.on('SIGHUP', reload);
  process.on('SIGTERM', () => {
    ending = true;
    for (const worker of Object.values(cluster.workers)) worker.kill();
    process.exit(0);
  });
}

// ---- a worker ------------------------------------------------------------------------------------

// What each byte of each channel is to the network: a table is the fastest way in JavaScript.
function tables(bytes) {
  return MEAN.map((mean, c) => {
    const floats = Float32Array.from({ length: 256 }, (_, v) => (v / 255 - mean) / STD[c]);
    if (!bytes) return floats;
    return Uint8Array.from(floats, (f) =>
      Math.min(255, Math.max(0, Math.round(f / bytes.scale) + bytes.zero_point)));
  });
}

async function network() {
  const ort = here('onnxruntime-node');
  const description = model.replace(/\.onnx$/, '.json');
  const bytes = fs.existsSync(description) ? JSON.parse(fs.readFileSync(description, 'utf8')) : null;
  const session = await ort.InferenceSession.create(model, {
    executionProviders: ['cpu'],
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    intraOpNumThreads: +threads,
    interOpNumThreads: 1,
  });
  const [red, green, blue] = tables(bytes);
  return async (rgb) => {
    const x = bytes ? new Uint8Array(3 * PIXELS) : new Float32Array(3 * PIXELS);
    for (let i = 0, j = 0; i < PIXELS; i++, j += 3) {
      x[i] = red[rgb[j]];
      x[i + PIXELS] = green[rgb[j + 1]];
      x[i + 2 * PIXELS] = blue[rgb[j + 2]];
    }
    const tensor = new ort.Tensor(bytes ? 'uint8' : 'float32', x, [1, 3, SIDE, SIDE]);
    return (await session.run({ x: tensor })).y.data;
  };
}

// The shorter side to 256, bilinear, and the middle: as torchvision does; JPEGs are decoded at a part
// of their size where sharp holds that to be good enough.
function crop(sharp, photograph) {
  const edge = (RESIZE - SIDE) / 2;
  return sharp(photograph)
    .resize(RESIZE, RESIZE, { fit: 'cover', kernel: 'linear' })
    .extract({ left: edge, top: edge, width: SIDE, height: SIDE })
    .removeAlpha()
    .toColourspace('srgb')
    .raw()
    .toBuffer();
}

function best(logits) {
  const first = [];
  let most = -Infinity, sum = 0;
  for (const v of logits) most = Math.max(most, v);
  for (let i = 0; i < logits.length; i++) {
    sum += Math.exp(logits[i] - most);
    if (first.length === TOP && logits[i] <= logits[first[TOP - 1]]) continue;
    let at = first.length;
    while (at > 0 && logits[first[at - 1]] < logits[i]) at--;
    first.splice(at, 0, i);
    first.length = Math.min(first.length, TOP);
  }
  return first.map((i) => ({ class_id: i, probability: Math.exp(logits[i] - most) / sum }));
}

function body(request) {
  return new Promise((resolve, reject) => {
    const pieces = [];
    let size = 0;
    request.on('data', (piece) => {
      size += piece.length;
      if (size <= MAX_BODY) pieces.push(piece);
    });
    request.on('end', () => (size > MAX_BODY ? reject(new Error('too large')) : resolve(Buffer.concat(pieces))));
    request.on('error', reject);
  });
}

let leaving = false; // then nginx is told to use this connection no more

function answer(response, status, object) {
  const text = JSON.stringify(object);
  if (leaving) response.setHeader('Connection', 'close');
  response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(text) });
  response.end(text);
}

async function work() {
  const sharp = here('sharp');
  sharp.cache(false);
  sharp.concurrency(1);
  const classify = await network();
  await classify(Buffer.alloc(3 * PIXELS));

  const server = http.createServer(async (request, response) => {
    try {
      if (request.method === 'GET') return answer(response, 200, { status: 'ok' });
      const logits = await classify(await crop(sharp, await body(request)));
      return answer(response, 200, { predictions: best(logits) });
    } catch (error) {
      return answer(response, 400, { error: error.message });
    }
  });
  const socket = path.join(directory, `${process.env.SLOT}.sock`);
  const own = `${socket}.${process.pid}`;
  server.listen({ path: own, exclusive: true }, () => {
    fs.chmodSync(own, 0o666);
    fs.renameSync(own, socket); // whoever was there before keeps what it has accepted
    process.send('ready');
  });
  process.on('message', () => {
    leaving = true;
    server.close(() => process.exit(0));
    server.closeIdleConnections();
  });
  process.on('disconnect', () => process.exit(0));
}

if (cluster.isPrimary) primary();
else work();
