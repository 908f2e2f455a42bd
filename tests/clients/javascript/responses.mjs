// The Responses API: an answer that goes on from one before, a stream, a tool loop.

import { client, model, tell, weather } from "./client.mjs";

const [, , introduction, question, weatherQuestion, forecast] = process.argv;
const fields = { model, temperature: 0 };
const first = await client.responses.create({ ...fields, input: introduction });
const second = await client.responses.create({
  ...fields,
  input: question,
  previous_response_id: first.id,
});

const stream = client.responses.stream({ ...fields, input: introduction });
const events = [];
let deltas = "";
for await (const event of stream) {
  events.push(event.type);
  if (event.type === "response.output_text.delta") deltas += event.delta;
}

const tools = [{ type: "function", strict: false, ...weather.function }];
const asked = await client.responses.create({ ...fields, tools, input: weatherQuestion });
const call = asked.output.find((item) => item.type === "function_call");
const told = await client.responses.create({
  ...fields,
  tools,
  previous_response_id: asked.id,
  input: [{ type: "function_call_output", call_id: call.call_id, output: forecast }],
});
tell({
  first: first.output_text,
  second: second.output_text,
  events,
  deltas,
  arguments: JSON.parse(call.arguments),
  report: told.output_text,
});
