// A plain answer, with its usage, and the list of models.

import { client, model, tell, user } from "./client.mjs";

const [, , text] = process.argv;
const completion = await client.chat.completions.create({
  model,
  messages: user(text),
  temperature: 0,
});
const models = [];
for await (const entry of client.models.list()) models.push(entry.id);
tell({
  text: completion.choices[0].message.content,
  finish: completion.choices[0].finish_reason,
  tokens: completion.usage.completion_tokens,
  models,
});
