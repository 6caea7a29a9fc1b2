// Debug pages by their path.
import type { DebugPage } from './answers.ts';
import { json } from './answers.ts';
import { debugPages } from './pages.ts';

/** `path` begins with `/debug/`, in any case of letters; `/debug/list` names all of them. */
export function findPage(path: string): DebugPage | undefined {
  const wanted = path.toLowerCase();
  if (wanted === '/debug/list') {
    return {
      path,
      help: '',
      answer: (_pilot, query) =>
        json(debugPages.map((page) => page.path.slice('/debug/'.length)).sort(), query),
    };
  }
  return debugPages.find((page) => page.path.toLowerCase() === wanted);
}
