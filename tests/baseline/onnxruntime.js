// onnxruntime.js MODEL THREADS BATCH SECONDS: forward passes of ONNX Runtime on the CPU, as JSON.
const ort = require('onnxruntime-node');

const [model, threads, batch, seconds] = [process.argv[2], ...process.argv.slice(3).map(Number)];
const now = () => Number(process.hrtime.bigint()) / 1e6;

(async () => {
  const session = await ort.InferenceSession.create(model, {
    executionProviders: ['cpu'],
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    executionMode: 'sequential',
    graphOptimizationLevel: 'all',
  });
  const data = Float32Array.from({ length: batch * 3 * 224 * 224 }, () => Math.random() * 4 - 2);
  const feeds = { x: new ort.Tensor('float32', data, [batch, 3, 224, 224]) };
  for (let i = 0; i < 3; i++) await session.run(feeds);
  const ms = [];
  for (const end = now() + seconds * 1e3; ms.length < 5 || now() < end; ) {
    const start = now();
    await session.run(feeds);
    ms.push(now() - start);
  }
  ms.sort((a, b) => a - b);
  console.log(JSON.stringify({ min_ms: ms[0], median_ms: ms[ms.length >> 1] }));
})();
