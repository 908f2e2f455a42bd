// The openai package on the server under test, and the one way in which a program tells its result.

import OpenAI from "openai";

export const model = process.env.MODEL;
export const client = new OpenAI({
  baseURL: process.env.OPENAI_URL,
  apiKey: process.env.API_KEY,
  maxRetries: 0,
});

export const weather = JSON.parse(process.env.WEATHER_TOOL);

export const user = (content) => [{ role: "user", content }];

export const tell = (result) => console.log(JSON.stringify(result));
