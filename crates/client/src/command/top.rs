//! `bellwether top`: the cluster live, on a terminal. What is shown is in `screen.rs`; here is what happens meanwhile.

mod screen;

use std::io::{self, IsTerminal};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bellwether_client::{Client, Follow, Overview, TaskView};
use crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use tokio::sync::mpsc;

use super::context::Context;
use super::failure::Failure;
use screen::{Screen, Step};

/// How often the cluster is looked at.
const LOOK: Duration = Duration::from_secs(1);
/// How often the reader of keys sees whether it is needed still.
const KEYS: Duration = Duration::from_millis(100);
/// Most events that are taken in before the screen is drawn again.
const BURST: usize = 1_000;

/// Until somebody types q.
pub(crate) async fn run(ctx: &Context) -> Result<u8, Failure> {
    if !io::stdout().is_terminal() || !io::stdin().is_terminal() {
        let failure = Failure::usage("top needs a terminal to draw on and keys to read");
        return Err(failure.hint("for programs: bellwether status -o json, and bellwether events -f -o jsonl"));
    }
    let client = ctx.client().await?;
    // Listened to before it is looked at: nothing happens unseen in between.
    let mut follow = client.follow();
    // If it cannot be by then, the looks say why.
    let begun = tokio::time::timeout(ctx.request_timeout, follow.next()).await;
    let (first, arrays) = (client.overview().await?, client.arrays().await?);
    let mut screen = Screen::new(first, arrays, ctx.printer.colored);
    begun.ok().flatten().iter().for_each(|happening| screen.happened(happening));
    let cannot = |error: io::Error| Failure::error("error", format!("the terminal cannot be drawn on: {error}"));
    let mut terminal = ratatui::try_init().map_err(cannot)?;
    let restored = Restored(Arc::new(AtomicBool::new(false)));
    let ended = live(client, follow, &mut terminal, keys(restored.0.clone()), screen).await;
    drop(restored);
    ended.map(|()| 0).map_err(cannot)
}

/// Gives the terminal back however this ends, and ends the reader of keys.
struct Restored(Arc<AtomicBool>);

impl Drop for Restored {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
        ratatui::restore();
    }
}

/// Keys and resizes, from a thread of its own: reading a terminal blocks.
fn keys(over: Arc<AtomicBool>) -> mpsc::Receiver<Event> {
    let (tell, heard) = mpsc::channel(64);
    drop(tokio::task::spawn_blocking(move || {
        while !over.load(Ordering::Relaxed) {
            match event::poll(KEYS) {
                Ok(false) => {}
                Ok(true) => {
                    let Ok(event) = event::read() else { return };
                    if tell.blocking_send(event).is_err() {
                        return;
                    }
                }
                Err(_) => return,
            }
        }
    }));
    heard
}

async fn live(
    client: &Client,
    mut follow: Follow,
    terminal: &mut ratatui::DefaultTerminal,
    mut keys: mpsc::Receiver<Event>,
    mut screen: Screen,
) -> io::Result<()> {
    let mut looking = Box::pin(look(client));
    loop {
        terminal.draw(|frame| screen.draw(frame))?;
        tokio::select! {
            key = keys.recv() => match key {
                Some(Event::Key(key)) if key.kind == KeyEventKind::Press => if pressed(&mut screen, key) { return Ok(()) },
                // Drawn again, in the new size.
                Some(_) => {}
                // Nobody can ask us to end any more.
                None => return Ok(()),
            },
            Some(happening) = follow.next() => {
                screen.happened(&happening);
                for _ in 0..BURST {
                    let Some(happening) = follow.try_next() else { break };
                    screen.happened(&happening);
                }
            }
            looked = &mut looking => {
                match looked {
                    Ok((overview, arrays)) => screen.looked(overview, arrays),
                    Err(error) => screen.failed(error.to_string()),
                }
                looking = Box::pin(look(client));
            }
        }
    }
}

async fn look(client: &Client) -> Result<(Overview, Vec<TaskView>), bellwether_client::Error> {
    tokio::time::sleep(LOOK).await;
    Ok((client.overview().await?, client.arrays().await?))
}

/// Says whether it is over.
fn pressed(screen: &mut Screen, key: KeyEvent) -> bool {
    match key.code {
        KeyCode::Char('q') | KeyCode::Esc => return true,
        // A terminal in raw mode sends it as a key.
        KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => return true,
        KeyCode::Char('?' | 'h') => screen.toggle_help(),
        KeyCode::Tab => screen.next_pane(),
        KeyCode::Char('s') => screen.next_order(),
        KeyCode::Down | KeyCode::Char('j') => screen.scroll(Step::Down),
        KeyCode::Up | KeyCode::Char('k') => screen.scroll(Step::Up),
        KeyCode::PageDown => screen.scroll(Step::PageDown),
        KeyCode::PageUp => screen.scroll(Step::PageUp),
        KeyCode::Home => screen.scroll(Step::Home),
        KeyCode::End => screen.scroll(Step::End),
        _ => {}
    }
    false
}
