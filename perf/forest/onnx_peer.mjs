// SPDX-License-Identifier: BSD-2-Clause
// One round of ONNX Runtime, one thread: node onnx_peer.mjs FOLDER-OF-onnxruntime-node MODEL.onnx ROWS.f32 FEATURES BATCH
// Prints the CPU time a row in ns, and writes the scores of the last class to ROWS.f32.onnx.
import {createRequire} from 'node:module';
import fs from 'node:fs';
const [folder, model, rowsPath, features, size] = process.argv.slice(2);
const ort = createRequire(folder + '/')('onnxruntime-node');
const bytes = fs.readFileSync(rowsPath);
const rows = new Float32Array(bytes.buffer, bytes.byteOffset, bytes.length / 4);
const width = Number(features), batch = Number(size), count = rows.length / width;
const session = await ort.InferenceSession.create(model, {
  executionProviders: ['cpu'], intraOpNumThreads: 1, interOpNumThreads: 1, executionMode: 'sequential'});
const feeds = [];
for (let at = 0; at + batch <= count; at += batch)
  feeds.push({x: new ort.Tensor('float32', rows.slice(at * width, (at + batch) * width), [batch, width])});
const scores = new Float32Array(feeds.length * batch);
for (let pass = 0; pass < 2; ++pass) {  // the first warms up
  const start = process.cpuUsage();
  for (let i = 0; i < feeds.length; ++i) {
    const out = (await session.run(feeds[i])).p.data;
    for (let r = 0; r < batch; ++r) scores[i * batch + r] = out[2 * r + 1];
  }
  const used = process.cpuUsage(start);
  if (pass === 1) console.log((used.user + used.system) * 1000 / scores.length);
}
fs.writeFileSync(rowsPath + '.onnx', Buffer.from(scores.buffer));
