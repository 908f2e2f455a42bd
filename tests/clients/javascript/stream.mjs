// The deltas of a stream, beside the plain answer to the same.

import { client, model, tell, user } from "./client.mjs";

const [, , text] = process.argv;
const fields = { model, messages: user(text), temperature: 0 };
const plain = await client.chat.completions.create(fields);
const stream = await client.chat.completions.create({ ...fields, stream: true });
const deltas = [];
for await (const chunk of stream) deltas.push(chunk.choices[0].delta.content ?? "");
tell({ deltas, plain: plain.choices[0].message.content });
