//! The full-screen view.

use std::collections::BTreeMap;
use std::io::{self, Stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{HumanBytes, HumanCount};
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::{execute, terminal};
use ratatui::layout::{Constraint, Layout, Rect};
use ratatui::style::{Color, Modifier, Style};
use ratatui::text::{Line, Span};
use ratatui::widgets::{Cell, Paragraph, Row, Table};
use ratatui::{Frame, Terminal};

use super::status::Status;
use super::{Display, clock};
use crate::error::{Error, Result};

/// What is on the screen.
#[derive(Default)]
pub struct View {
    status: Status,
    /// Events stored a second, by class.
    rates: BTreeMap<&'static str, f64>,
    planned: Option<Duration>,
    note: String,
    /// Set by NO_COLOR: nothing has a colour.
    plain: bool,
}

impl View {
    pub fn new(planned: Option<Duration>) -> View {
        // https://no-color.org: present and not empty.
        let plain = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
        View { planned, plain, ..View::default() }
    }

    pub fn update(&mut self, status: &Status) {
        let since = status.elapsed.saturating_sub(self.status.elapsed).as_secs_f64();
        if since > 0.0 {
            let before = |class: &str| self.status.classes.get(class).map_or(0, |account| account.stored);
            let rate = |class: &str, stored: u64| stored.saturating_sub(before(class)) as f64 / since;
            self.rates = status.classes.iter().map(|(class, account)| (*class, rate(class, account.stored))).collect();
        }
        self.status = status.clone();
    }

    fn color(&self, color: Color) -> Style {
        if self.plain { Style::new() } else { Style::new().fg(color) }
    }

    pub fn draw(&self, frame: &mut Frame<'_>) {
        let classes = self.status.classes.len() as u16 + 1;
        let rows = [
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Length(1),
            Constraint::Length(classes),
            Constraint::Length(1),
            Constraint::Min(0),
            Constraint::Length(1),
        ];
        let [head, load, _, by_class, _, containers, foot] = Layout::vertical(rows).areas(frame.area());
        frame.render_widget(self.head(), head);
        frame.render_widget(self.load(), load);
        self.classes(frame, by_class);
        self.containers(frame, containers);
        let keys =
            if self.note.is_empty() { "q ends the recording".to_owned() } else { format!("q ends · {}", self.note) };
        frame.render_widget(Paragraph::new(keys).style(Style::new().add_modifier(Modifier::DIM)), foot);
    }

    fn head(&self) -> Paragraph<'_> {
        let Status { elapsed, segments, written, pending, followed, own, .. } = &self.status;
        let of = self.planned.map(|planned| format!(" of {}", clock(planned))).unwrap_or_default();
        let text = format!(
            "{}{of} · {followed} containers · {segments} segments, {} · {} rows pending · {} · CPU {:.1} s",
            clock(*elapsed),
            HumanBytes(*written),
            HumanCount(*pending),
            HumanBytes(own.rss),
            own.cpu,
        );
        Paragraph::new(text).style(Style::new().add_modifier(Modifier::BOLD))
    }

    fn load(&self) -> Paragraph<'_> {
        let Status { ring, queued, lag, .. } = &self.status;
        let lost = self.status.total(|account| account.dropped.total());
        let (share, alarm) = (ring.fill(), if lost > 0 { Color::Red } else { Color::Green });
        let filling = if share > 0.5 { Color::Yellow } else { Color::Green };
        Paragraph::new(Line::from(vec![
            Span::raw("ring "),
            Span::styled(format!("{} {:.1} %", bar(share, 20), share * 100.0), self.color(filling)),
            Span::raw(format!(" · {queued} queued · lag {:.1?} / {:.1?} · ", lag.p50, lag.p99)),
            Span::styled(format!("{} lost", HumanCount(lost)), self.color(alarm)),
        ]))
    }

    fn classes(&self, frame: &mut Frame<'_>, area: Rect) {
        let header = ["class", "events/s", "stored", "lost", "filtered", "thinned", "known"];
        let number = |n: u64| Cell::from(Line::from(HumanCount(n).to_string()).right_aligned());
        let title = |(at, text): (usize, &'static str)| {
            let line = Line::from(text);
            Cell::from(if at == 0 { line } else { line.right_aligned() })
        };
        let rows = self.status.classes.iter().map(|(class, account)| {
            let lost = account.dropped.total();
            let row = Row::new([
                Cell::from(*class),
                number(self.rates.get(class).map_or(0, |rate| rate.round() as u64)),
                number(account.stored),
                number(lost),
                number(account.filtered),
                number(account.sampled_out),
                number(account.known),
            ]);
            if lost > 0 { row.style(self.color(Color::Red)) } else { row }
        });
        let widths = [9, 10, 13, 10, 10, 9, 9].map(Constraint::Length);
        let dim = Style::new().add_modifier(Modifier::DIM);
        let table = Table::new(rows, widths).header(Row::new(header.into_iter().enumerate().map(title)).style(dim));
        frame.render_widget(table.column_spacing(1), area);
    }

    fn containers(&self, frame: &mut Frame<'_>, area: Rect) {
        let number = |rate: f64| Cell::from(Line::from(HumanCount(rate.round() as u64).to_string()).right_aligned());
        let rows = self.status.busiest.iter().map(|(name, rate)| Row::new([number(*rate), Cell::from(&**name)]));
        let head = Row::new([Cell::from(Line::from("events/s").right_aligned()), Cell::from("container")]);
        let dim = Style::new().add_modifier(Modifier::DIM);
        let table = Table::new(rows, [Constraint::Length(10), Constraint::Fill(1)]).header(head.style(dim));
        frame.render_widget(table.column_spacing(1), area);
    }
}

/// A bar of `width` characters; `share` is 0 to 1.
fn bar(share: f64, width: usize) -> String {
    let full = ((share * width as f64).ceil() as usize).min(width);
    format!("{}{}", "█".repeat(full), "░".repeat(width - full))
}

/// The terminal, taken over until [`Display::finish`].
pub struct Screen {
    terminal: Terminal<CrosstermBackend<Stderr>>,
    view: View,
    stop: Arc<AtomicBool>,
}

impl Screen {
    pub fn open(planned: Option<Duration>, stop: Arc<AtomicBool>) -> Result<Screen> {
        let opened = || {
            terminal::enable_raw_mode()?;
            execute!(io::stderr(), terminal::EnterAlternateScreen)?;
            Terminal::new(CrosstermBackend::new(io::stderr()))
        };
        let terminal = opened().map_err(|error| Error::Usage(format!("cannot take over the terminal: {error}")))?;
        Ok(Screen { terminal, view: View::new(planned), stop })
    }

    fn redraw(&mut self) {
        // A terminal that went away shows nothing, and the recording goes on.
        let _ = self.terminal.draw(|frame| self.view.draw(frame));
    }
}

/// Raw mode gives Ctrl-C as a key.
fn ends(key: KeyEvent) -> bool {
    let control = key.modifiers.contains(KeyModifiers::CONTROL);
    key.kind == KeyEventKind::Press && (key.code == KeyCode::Char('q') || (control && key.code == KeyCode::Char('c')))
}

impl Display for Screen {
    fn status(&mut self, status: &Status) {
        self.view.update(status);
        self.redraw();
    }

    fn note(&mut self, note: &str) {
        note.clone_into(&mut self.view.note);
        self.redraw();
    }

    fn turn(&mut self) {
        while event::poll(Duration::ZERO).unwrap_or(false) {
            match event::read() {
                Ok(Event::Key(key)) if ends(key) => self.stop.store(true, Ordering::Relaxed),
                Ok(Event::Resize(..)) => self.redraw(),
                Ok(_) => {}
                Err(_) => break,
            }
        }
    }

    fn finish(&mut self) {
        let _ = execute!(io::stderr(), terminal::LeaveAlternateScreen);
        let _ = terminal::disable_raw_mode();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lag::Summary;
    use crate::live::status::{Own, Ring};
    use ratatui::backend::TestBackend;

    fn screen(view: &View, width: u16) -> Vec<String> {
        let mut terminal = Terminal::new(TestBackend::new(width, 24)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        let buffer = terminal.backend().buffer().clone();
        buffer.content().chunks(width.into()).map(|row| row.iter().map(|cell| cell.symbol()).collect()).collect()
    }

    fn status(elapsed: u64, stored: u64) -> Status {
        let mut account = datasets::ClassAccount { emitted: stored + 5, stored, filtered: 2, ..Default::default() };
        account.dropped.ring_full = 3;
        Status {
            elapsed: Duration::from_secs(elapsed),
            classes: [("file", account), ("process", datasets::ClassAccount::default())].into(),
            ring: Ring { used: 32 << 20, size: 64 << 20 },
            queued: 7,
            lag: Summary {
                count: 9,
                p50: Duration::from_millis(12),
                p99: Duration::from_millis(51),
                max: Duration::from_secs(1),
            },
            segments: 4,
            written: 1 << 20,
            pending: 12_345,
            followed: 2,
            busiest: vec![("shop-web".to_owned(), 1500.4), ("shop-db".to_owned(), 3.0)],
            own: Own { rss: 100 << 20, cpu: 1.25 },
            ..Status::default()
        }
    }

    #[test]
    fn eighty_columns_hold_rates_containers_loss_ring_and_lag() {
        let mut view = View::new(Some(Duration::from_secs(3600)));
        view.update(&status(60, 1000));
        view.update(&status(62, 5000));
        let rows = screen(&view, 80);
        assert!(rows[0].starts_with("1:02 of 1:00:00 · 2 containers · 4 segments, 1.00 MiB"), "{}", rows[0]);
        assert!(
            rows[1].starts_with("ring ██████████░░░░░░░░░░ 50.0 % · 7 queued · lag 12.0ms / 51.0ms · 3 lost"),
            "{}",
            rows[1]
        );
        let words = |row: &str| row.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(words(&rows[3]), ["class", "events/s", "stored", "lost", "filtered", "thinned", "known"]);
        assert_eq!(words(&rows[4]), ["file", "2,000", "5,000", "3", "2", "0", "0"]);
        assert_eq!(words(&rows[5]), ["process", "0", "0", "0", "0", "0", "0"]);
        assert_eq!(words(&rows[8]), ["1,500", "shop-web"]);
        assert_eq!(words(&rows[9]), ["3", "shop-db"]);
        assert!(rows[23].starts_with("q ends the recording"));
        screen(&view, 10);
        screen(&view, 1);
    }

    #[test]
    fn q_and_ctrl_c_end_it() {
        let key = |code, modifiers| KeyEvent::new(code, modifiers);
        assert!(ends(key(KeyCode::Char('q'), KeyModifiers::NONE)));
        assert!(ends(key(KeyCode::Char('c'), KeyModifiers::CONTROL)));
        assert!(!ends(key(KeyCode::Char('c'), KeyModifiers::NONE)));
    }

    #[test]
    fn without_colour_nothing_has_one() {
        let mut view = View { plain: true, ..View::default() };
        view.update(&status(1, 1));
        let mut terminal = Terminal::new(TestBackend::new(80, 24)).unwrap();
        terminal.draw(|frame| view.draw(frame)).unwrap();
        assert!(
            terminal.backend().buffer().content().iter().all(|cell| cell.fg == Color::Reset && cell.bg == Color::Reset)
        );
        view.plain = false;
        terminal.draw(|frame| view.draw(frame)).unwrap();
        assert!(terminal.backend().buffer().content().iter().any(|cell| cell.fg == Color::Red));
    }
}
