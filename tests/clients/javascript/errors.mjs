// What is thrown for a prompt that is too long, an unknown model and a bad field.

import OpenAI from "openai";

import { client, model, tell, user } from "./client.mjs";

const [, , tooLong] = process.argv;
const kinds = ["BadRequestError", "NotFoundError", "APIError"];

async function thrownBy(fields) {
  try {
    await client.chat.completions.create({ model, messages: user("Hello!"), ...fields });
  } catch (error) {
    const { status, code, param, message } = error;
    return { kind: kinds.find((kind) => error instanceof OpenAI[kind]), status, code, param, message };
  }
}

tell({
  long: await thrownBy({ messages: user(tooLong) }),
  longStream: await thrownBy({ messages: user(tooLong), stream: true }),
  model: await thrownBy({ model: "no-such-model" }),
  field: await thrownBy({ top_p: 3 }),
});
