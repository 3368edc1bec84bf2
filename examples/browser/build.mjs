// Makes dist/, the whole page: node build.mjs MODEL.onnx

import { build } from "esbuild";
import { copyFile, mkdir, rm } from "node:fs/promises";

const model = process.argv[2];
if (!model) {
  console.error("build.mjs: expected the model that mfst export wrote, found none");
  process.exit(2);
}
await rm("dist", { recursive: true, force: true });
await mkdir("dist");
try {
  await copyFile(model, "dist/mfst.onnx");
} catch (error) {
  console.error(`build.mjs: ${model}: expected a model to copy, found ${error.code}`);
  process.exit(2);
}
await build({
  entryPoints: ["page.js", "worker.js"],
  outdir: "dist",
  bundle: true,
  format: "esm",
  minify: true,
  logLevel: "warning",
});
const runtime = "node_modules/onnxruntime-web/dist/ort-wasm-simd-threaded";
await copyFile(`${runtime}.wasm`, "dist/ort-wasm-simd-threaded.wasm");
await copyFile(`${runtime}.mjs`, "dist/ort-wasm-simd-threaded.mjs");
await copyFile("index.html", "dist/index.html");
await copyFile("page.css", "dist/page.css");
