// What clients have reported of the load that they send.
import type { DebugPage } from './answers.ts';
import { json } from './answers.ts';

export const loadPage: DebugPage = {
  path: '/debug/load',
  help: 'Requests that clients reported (LRS), by cluster and locality',
  answer: (pilot, query) => {
    const { size, table } = pilot.reports.loads;
    return json({ clients: size, reports: table.reports, clusters: table.clusters() }, query);
  },
};
