// Uploads a file with npm's `tus-js-client`: ENDPOINT FILE [KEY=VALUE of the metadata]...; says how it ended as one line of JSON.
import { createReadStream, statSync } from "node:fs";
import { Upload } from "tus-js-client";

const [endpoint, path, ...pairs] = process.argv.slice(2);
const metadata = Object.fromEntries(pairs.map((pair) => pair.split(/=(.*)/s).slice(0, 2)));
const end = (answer) => console.log(JSON.stringify(answer));

new Upload(createReadStream(path), {
  endpoint,
  metadata,
  uploadSize: statSync(path).size,
  chunkSize: Infinity,
  retryDelays: Array(40).fill(100),
  onSuccess: () => end({ ok: true }),
  onError: (error) => end({ ok: false, status: error.originalResponse?.getStatus(), why: String(error) }),
}).start();
