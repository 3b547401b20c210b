//! Staying awake for a moment after work. A thread that sleeps between two messages of the only
//! client that works is woken for each, and on a virtual machine a wake-up takes longer than all that
//! is done for the message. So it looks again for [`AWAKE`], gives way to whoever else wants the core
//! each time, and only where that has paid off lately: an answer that takes longer than that (a
//! database across a network, a client that thinks) costs a look in vain now and then.

use std::{
    cell::{Cell, RefCell},
    sync::Arc,
    time::{Duration, Instant},
};

use tokio::sync::Notify;

/// For so long it looks: longer than a lookup by key and its way back on one machine.
const AWAKE: Duration = Duration::from_micros(50);

/// Whether looking is worth it.
#[derive(Debug, Default)]
struct Worth {
    /// How much better than not it has been lately.
    score: u8,
    /// How often it was not even tried since it was last.
    passed_over: u8,
}

impl Worth {
    const MOST: u8 = 16;
    /// One in so many is tried where it has not paid off.
    const TRIED: u8 = 64;

    /// Whether to look now.
    fn now(&mut self) -> bool {
        if self.score > 0 || self.passed_over >= Self::TRIED - 1 {
            self.passed_over = 0;
            return true;
        }
        self.passed_over += 1;
        false
    }

    /// Something came while it looked: `times`; then nothing did.
    fn ended(&mut self, times: u32) {
        let times = u8::try_from(times).unwrap_or(Self::MOST);
        self.score = self.score.saturating_add(times).min(Self::MOST).saturating_sub(1);
    }
}

thread_local! {
    /// When something was last done here.
    static LAST: Cell<Option<Instant>> = const { Cell::new(None) };
    static LOOKS: Cell<bool> = const { Cell::new(false) };
    static WORTH: RefCell<Worth> = RefCell::new(Worth::default());
    static WAKE: Arc<Notify> = Arc::new(Notify::new());
}

/// Something was done on this thread. `few`: so few statements are under way that it may soon have
/// nothing to do; where many are, the next is there before it could fall asleep.
pub fn worked(now: Instant, few: bool) {
    if !few {
        LAST.set(None);
        return;
    }
    LAST.set(Some(now));
    if !LOOKS.get() && WORTH.with_borrow_mut(Worth::now) {
        LOOKS.set(true);
        WAKE.with(|wake| wake.notify_one());
    }
}

/// Keeps this thread awake after work; for as long as its event loop lives.
pub async fn keep() {
    let wake = WAKE.with(Arc::clone);
    loop {
        wake.notified().await;
        let (mut times, mut last) = (0_u32, LAST.get());
        while last.is_some_and(|last| last.elapsed() < AWAKE) {
            std::thread::yield_now();
            tokio::task::yield_now().await;
            let now = LAST.get();
            if now.is_some() && now != last {
                times = times.saturating_add(1);
            }
            last = now;
        }
        LOOKS.set(false);
        WORTH.with_borrow_mut(|worth| worth.ended(times));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_looks_while_that_pays_off_and_otherwise_seldom() {
        let mut worth = Worth::default();
        let tried = |worth: &mut Worth, times| {
            let now = worth.now();
            if now {
                worth.ended(times);
            }
            now
        };
        let in_vain = (0..640).filter(|_| tried(&mut worth, 0)).count();
        assert_eq!(in_vain, 10, "one in 64");
        while !worth.now() {}
        worth.ended(1000);
        let after = (0..64).take_while(|_| tried(&mut worth, 0)).count();
        assert_eq!(after, usize::from(Worth::MOST) - 1, "what paid off is tried some times more");
        while !worth.now() {}
        worth.ended(2);
        assert!((0..1000).all(|_| tried(&mut worth, 1)), "as long as something comes each time");
    }

    #[tokio::test]
    async fn it_falls_asleep_when_nothing_comes() {
        tokio::task::LocalSet::new()
            .run_until(async {
                tokio::task::spawn_local(keep());
                while !LOOKS.get() {
                    worked(Instant::now(), true);
                }
                while LOOKS.get() {
                    tokio::task::yield_now().await;
                }
                worked(Instant::now(), false);
                assert!(!LOOKS.get(), "where many statements are under way it need not look");
            })
            .await;
    }
}
