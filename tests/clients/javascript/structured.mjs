// A zod schema filled from a text, plain and at the end of a stream.

import { zodResponseFormat } from "openai/helpers/zod";
import { z } from "zod";

import { client, model, tell, user } from "./client.mjs";

const [, , text] = process.argv;
const Person = z.object({ name: z.string(), age: z.number().int(), city: z.string() });
const fields = {
  model,
  messages: user(text),
  temperature: 0,
  response_format: zodResponseFormat(Person, "person"),
};
const plain = await client.chat.completions.parse(fields);
const streamed = await client.chat.completions.stream(fields).finalChatCompletion();
// The message goes back as the package gave it.
const { response_format: _, ...asking } = fields;
const messages = [...fields.messages, plain.choices[0].message, ...user(text)];
const next = await client.chat.completions.create({ ...asking, messages });
tell({
  plain: plain.choices[0].message.parsed,
  streamed: streamed.choices[0].message.parsed,
  finish: next.choices[0].finish_reason,
});
