// Rules of VirtualServices that can never be used: exactly those of which that is certain.
import type { Analyzer } from '../analyzer.ts';
import { says } from '../messages.ts';
import { startQuestions } from '../shadowing/automaton.ts';
import { httpShadows } from '../shadowing/http-shadows.ts';
import { describeShadows } from '../shadowing/shadow.ts';
import { streamShadows } from '../shadowing/stream-shadows.ts';

export const shadowing: Analyzer = {
  name: 'fairlead.ShadowingAnalyzer',
  description: 'Every rule and match of VirtualServices is reached by some request',
  run: ({ objects, report }) => {
    startQuestions();
    for (const { object, path, text } of describeShadows([
      ...httpShadows(objects),
      ...streamShadows(objects),
    ]))
      report(says.shadowedRule(text), object, ...path);
  },
};
