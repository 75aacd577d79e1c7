// SPDX-License-Identifier: BSD-2-Clause
// node onnxruntime.js PACKAGE MODEL ROWS COUNT FEATURES OUT: asks ONNX Runtime (npm package onnxruntime-node) for the
// labels (int32) and scores (float32, row by row) of rows (float32, row by row); writes OUT.labels and OUT.scores.
const fs = require('fs');
const [pack, model, rows, count, features, out] = process.argv.slice(2);
const ort = require(pack);
(async () => {
  const session = await ort.InferenceSession.create(model, {intraOpNumThreads: 1, logSeverityLevel: 3});
  const bytes = fs.readFileSync(rows);
  const data = new Float32Array(bytes.buffer.slice(bytes.byteOffset, bytes.byteOffset + bytes.length));
  const feeds = {[session.inputNames[0]]: new ort.Tensor('float32', data, [Number(count), Number(features)])};
  const results = await session.run(feeds);
  for (const name of session.outputNames) {
    const tensor = results[name];
    if (tensor.type === 'int64') fs.writeFileSync(out + '.labels', Buffer.from(Int32Array.from(tensor.data, Number).buffer));
    else fs.writeFileSync(out + '.scores', Buffer.from(Float32Array.from(tensor.data).buffer));
  }
})().catch((error) => { console.error(error.message); process.exit(1); });
