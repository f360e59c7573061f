// The drive of tests/clients/scripted.rs with npm's `webdav`: one request a line, one answer a line.
import { createInterface } from "node:readline";
import { createClient } from "webdav";

const [url, username, password] = process.argv.slice(2);
const client = createClient(url, username ? { username, password } : {});
const say = (answer) => console.log(JSON.stringify(answer));

const acts = {
  make_folder: async ({ path }) => void (await client.createDirectory("/" + path)),
  write: async ({ path, content }) => void (await client.putFileContents("/" + path, Buffer.from(content, "base64"))),
  create: async ({ path, content }) => ({
    created: await client.putFileContents("/" + path, Buffer.from(content, "base64"), { overwrite: false }),
  }),
  read: async ({ path }) => ({ content: Buffer.from(await client.getFileContents("/" + path)).toString("base64") }),
  names: async ({ path }) => ({ names: (await client.getDirectoryContents("/" + path)).map((entry) => entry.basename) }),
  rename: async ({ path, to }) => void (await client.moveFile("/" + path, "/" + to)),
  remove: async ({ path }) => void (await client.deleteFile("/" + path)),
  remove_folder: async ({ path }) => void (await client.deleteFile("/" + path)),
  lock_and_unlock: async ({ path }) => {
    const lock = await client.lock("/" + path);
    await client.unlock("/" + path, lock.token);
  },
};

say({ ok: true });
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line);
  try {
    say({ ok: true, ...(await acts[request.do](request)) });
  } catch (error) {
    say({ ok: false, why: String(error), status: error.status });
  }
}
