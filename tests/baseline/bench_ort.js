// bench_ort.js MODEL.onnx INPUT.npy THREADS BATCH SECONDS: times ONNX Runtime on the CPU, everything
// on that it has for speed, and prints one line of JSON. Found by require() from the current
// directory, where npm has put it.
'use strict';
const fs = require('fs');
const path = require('path');
const ort = require(require.resolve('onnxruntime-node', { paths: [process.cwd()] }));

const MIN_RUNS = 3, WARM_RUNS = 2;

function readNpy(file, count) {
  const bytes = fs.readFileSync(file);
  const start = 10 + bytes.readUInt16LE(8); // version 1.0: magic, version, 2 bytes of length, header
  return new Float32Array(bytes.buffer.slice(bytes.byteOffset + start), 0, count);
}

function version() {
  const main = require.resolve('onnxruntime-node', { paths: [process.cwd()] });
  const file = path.join(main.split('onnxruntime-node')[0], 'onnxruntime-node', 'package.json');
  return JSON.parse(fs.readFileSync(file, 'utf8')).version;
}

const nowMs = () => Number(process.hrtime.bigint()) / 1e6;

async function main() {
  const [model, input, threads, batch, seconds] = process.argv.slice(2);
  const session = await ort.InferenceSession.create(model, {
    executionProviders: ['cpu'],
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
    intraOpNumThreads: +threads,
    interOpNumThreads: 1,
  });
  const floats = +batch * 3 * 224 * 224;
  const x = new ort.Tensor('float32', readNpy(input, floats), [+batch, 3, 224, 224]);
  let y;
  for (let i = 0; i < WARM_RUNS; i++) ({ y } = await session.run({ x }));

  const times = [];
  const cpu = process.cpuUsage();
  const start = nowMs();
  while (times.length < MIN_RUNS || nowMs() - start < +seconds * 1000) {
    const before = nowMs();
    await session.run({ x });
    times.push(nowMs() - before);
  }
  const wallMs = nowMs() - start;
  const used = process.cpuUsage(cpu);
  times.sort((a, b) => a - b);
  console.log(JSON.stringify({
    version: version(),
    runs: times.length,
    min_ms: times[0],
    median_ms: times[times.length >> 1],
    cpu_ms: (used.user + used.system) / 1000 / times.length,
    cpu_per_wall: (used.user + used.system) / 1000 / wallMs,
    logits: Array.from(y.data.slice(0, 1000)),
  }));
}

main();
