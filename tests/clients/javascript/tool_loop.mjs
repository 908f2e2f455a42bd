// The package's own loop: it calls our function and sends its result, plain or streamed.

import { client, model, tell, user, weather } from "./client.mjs";

const [, , text, forecast, stream] = process.argv;
const cities = [];
const getWeather = ({ city }) => {
  cities.push(city);
  return forecast;
};
const runner = client.chat.completions.runTools({
  model,
  messages: user(text),
  temperature: 0,
  stream: stream === "streamed",
  tools: [
    {
      type: "function",
      function: { ...weather.function, function: getWeather, parse: JSON.parse },
    },
  ],
});
const answer = await runner.finalContent();
tell({ answer, cities, roles: runner.messages.map((message) => message.role) });
