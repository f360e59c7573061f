// Follows a stream of events with npm's `eventsource`: URL; each event is a line of JSON.
import { EventSource } from "eventsource";

const say = (line) => console.log(JSON.stringify(line));
const source = new EventSource(process.argv[2]);
source.onopen = () => say({ opened: true });
source.onerror = (error) => say({ broken: true, status: error.code ?? null });
source.onmessage = ({ data, lastEventId }) => say({ id: lastEventId, data: JSON.parse(data) });
for (const name of process.argv.slice(3))
  source.addEventListener(name, ({ data, lastEventId }) => say({ id: lastEventId, name, data: JSON.parse(data) }));
