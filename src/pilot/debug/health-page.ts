// Which endpoints clients that check them (HDS) found to be unwell.
import type { DebugPage } from './answers.ts';
import { json } from './answers.ts';

export const healthPage: DebugPage = {
  path: '/debug/health',
  help: 'Clients that check endpoints (HDS), and the endpoints that they found to be unwell',
  answer: (pilot, query) => {
    const { size, reports } = pilot.reports.health;
    return json({ clients: size, unwell: Object.fromEntries(reports.unwell) }, query);
  },
};
