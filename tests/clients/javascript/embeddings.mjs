// The vectors of texts.

import { client, tell } from "./client.mjs";

const [, , model, ...input] = process.argv;
const found = await client.embeddings.create({ model, input });
tell(found.data.map((each) => each.embedding));
