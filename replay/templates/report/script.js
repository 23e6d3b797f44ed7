'use strict';
(() => {
  const root = document.documentElement;
  const find = id => document.getElementById(id);
  root.classList.add('has-js');

  // Light, dark, or as the system says. Where a browser keeps nothing for files, the choice lasts as long as the page.
  const themes = ['as the system', 'light', 'dark'];
  const themeButton = find('theme');
  const setTheme = theme => {
    if (theme === themes[0]) delete root.dataset.theme; else root.dataset.theme = theme;
    themeButton.textContent = 'Colours: ' + theme;
    try { localStorage.setItem('report-theme', theme); } catch { /* not allowed to */ }
  };
  let theme = themes[0];
  try { theme = localStorage.getItem('report-theme') || theme; } catch { /* not allowed to */ }
  setTheme(themes.includes(theme) ? theme : themes[0]);
  themeButton.addEventListener('click', () => {
    const now = root.dataset.theme || themes[0];
    setTheme(themes[(themes.indexOf(now) + 1) % themes.length]);
  });

  // A moment of the timeline in numbers.
  const data = JSON.parse(find('data').textContent);
  const slider = find('moment'), told = find('told');
  const charts = [...document.querySelectorAll('.chart svg')];
  const lines = charts.map(svg => {
    const line = document.createElementNS('http://www.w3.org/2000/svg', 'line');
    line.setAttribute('class', 'cursor');
    line.setAttribute('y1', 0);
    line.setAttribute('y2', svg.viewBox.baseVal.height);
    svg.append(line);
    return line;
  });
  const tell = at => {
    const [from, to] = data.plot, x = from + (to - from) * at / data.length;
    for (const line of lines) { line.setAttribute('x1', x); line.setAttribute('x2', x); }
    const bucket = data.rates[Math.floor((at - data.first) / data.width)] || [];
    const parts = [at.toFixed(1) + ' s, ' + new Date(data.begin + at * 1000).toISOString().slice(0, 19) + 'Z'];
    const rates = data.classes.map((name, i) => name + ' ' + +((bucket[i] || 0) / data.width).toFixed(2));
    parts.push('events/s: ' + rates.join(', '));
    const images = new Map();
    for (const tree of data.trees) {
      const point = tree.points.findLast(point => point[0] <= at);
      const locked = tree.locked !== null && tree.locked <= at;
      const what = point ? tree.tree + ' ' + point[1] + ' patterns, ' + point[2] + ' nodes, ' +
        (locked ? 'locked' : 'unseen at most ' + point[3]) : tree.tree + ' nothing yet';
      images.set(tree.image, [...(images.get(tree.image) || []), what]);
    }
    for (const [image, what] of images) parts.push(image + ': ' + what.join('; '));
    const near = data.alerts.filter(alert => Math.abs(alert[0] - at) <= data.length / 200).slice(0, 8);
    parts.push('alerts here: ' + (near.length ? '' : 'none'));
    told.replaceChildren(...parts.flatMap((part, i) => i ? [document.createElement('br'), part] : [part]));
    for (const [, id, severity] of near) {
      const link = document.createElement('a');
      link.href = '#' + id;
      link.textContent = id + ' ' + severity;
      told.append(link, ' ');
    }
    slider.setAttribute('aria-valuetext', at.toFixed(1) + ' seconds');
  };
  slider.max = data.length;
  slider.step = Math.max(data.length / 1000, 0.1).toFixed(1);
  slider.addEventListener('input', () => tell(+slider.value));
  for (const svg of charts) svg.addEventListener('pointermove', event => {
    const box = svg.getBoundingClientRect(), [from, to] = data.plot;
    const x = (event.clientX - box.left) / box.width * svg.viewBox.baseVal.width;
    slider.value = Math.min(Math.max((x - from) / (to - from), 0), 1) * data.length;
    tell(+slider.value);
  });
  slider.value = data.alerts.length ? data.alerts[0][0] : data.length;
  tell(+slider.value);

  // Alerts: those that match, so many at once. What is not yet asked for waits in templates, which cost next to nothing.
  const list = find('alert-list'), form = find('filter'), search = find('search'), hits = find('hits'), more = find('more');
  const step = +list.dataset.step;
  const items = [...document.querySelectorAll('#alert-list > details, #alert-store > template')]
    .map(node => node.localName === 'template' ? node.content.firstElementChild : node)
    .map((node, order) => ({ node, order, set: node.dataset, text: null }));
  const fields = ['group', 'severity', 'image', 'container', 'technique'];
  const severities = ['critical', 'high', 'medium', 'low'];
  let matching = [], limit = step;
  const draw = () => {
    const open = matching.slice(0, limit);
    list.replaceChildren(...open.map(item => item.node));
    more.hidden = matching.length <= limit;
    more.textContent = 'Show ' + Math.min(step, matching.length - limit) + ' more of ' + matching.length;
    const shown = matching.length > limit ? ', the first ' + limit + ' shown' : '';
    hits.textContent = matching.length + (matching.length === 1 ? ' alert' : ' alerts') + ' of ' + items.length + shown;
  };
  const filter = () => {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    matching = items.filter(item => fields.every(field => {
      const wanted = form.elements[field].value;
      return wanted === '' || item.set[field] === wanted;
    }) && words.every(word => (item.text ??= item.node.textContent.toLowerCase()).includes(word)));
    if (form.elements.order.value === 'severity') matching.sort((a, b) =>
      severities.indexOf(a.set.severity) - severities.indexOf(b.set.severity) || b.set.score - a.set.score || a.order - b.order);
    limit = step;
    draw();
  };
  let waiting = 0;
  search.addEventListener('input', () => { clearTimeout(waiting); waiting = setTimeout(filter, 120); });
  form.addEventListener('change', filter);
  form.addEventListener('submit', event => { event.preventDefault(); filter(); });
  form.addEventListener('reset', () => setTimeout(filter));
  more.addEventListener('click', () => {
    const next = limit;
    limit += step;
    draw();
    matching[next]?.node.querySelector('summary').focus();
  });

  // #A0003 or #alert-3: found whatever is filtered, opened, and under the keyboard.
  const follow = () => {
    const number = /^#(?:alert-0*|A0*)([0-9]+)$/.exec(location.hash);
    if (!number) return;
    const item = items.find(item => +item.node.id.slice(1) === +number[1]);
    if (!item) return;
    if (!matching.includes(item)) { form.reset(); form.elements.group.value = ''; filter(); }
    const at = matching.indexOf(item);
    if (at >= limit) { limit = at + step; draw(); }
    item.node.open = true;
    item.node.querySelector('summary').focus({ preventScroll: true });
    item.node.scrollIntoView();
  };

  document.addEventListener('keydown', event => {
    if (event.ctrlKey || event.altKey || event.metaKey) return;
    const typing = event.target.closest('input:not([type=range]), select, textarea');
    if (event.key === '/' && !typing) {
      event.preventDefault();
      search.focus();
      search.select();
      return;
    }
    if (event.target === search) {
      if (event.key === 'Escape') { search.value = ''; filter(); }
      if (event.key === 'ArrowDown') { event.preventDefault(); list.querySelector('summary')?.focus(); }
      return;
    }
    const summary = event.target.closest('#alert-list summary');
    if (!summary) return;
    const all = [...list.querySelectorAll(':scope > details > summary')], at = all.indexOf(summary);
    const to = { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: all.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    if (to < 0) search.focus(); else all[Math.min(to, all.length - 1)].focus();
  });

  filter();
  window.addEventListener('hashchange', follow);
  follow();
  // A browser takes the focus away once more when it has gone to the fragment itself.
  window.addEventListener('load', () => requestAnimationFrame(() => setTimeout(follow)));
})();
