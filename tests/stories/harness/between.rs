//! Somebody between the gateway and a database.

use std::{
    net::SocketAddr,
    sync::{Arc, Mutex},
};

use rustls::{ClientConfig, ServerConfig, pki_types::ServerName};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, copy_bidirectional},
    net::{TcpListener, TcpStream},
    task::JoinHandle,
};
use tokio_rustls::{TlsAcceptor, TlsConnector};

use super::raw::SSL_REQUEST;

/// A relay on a port of its own. It ends when it is dropped.
pub struct Between {
    pub address: SocketAddr,
    /// What the gateway said, a text of bytes for each connection.
    pub heard: Arc<Mutex<Vec<Vec<u8>>>>,
    task: JoinHandle<()>,
}

impl Drop for Between {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Between {
    /// Passes everything on, and keeps what the gateway said.
    pub async fn listens(server: SocketAddr) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let heard: Arc<Mutex<Vec<Vec<u8>>>> = Arc::default();
        let kept = Arc::clone(&heard);
        let task = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = {
                    let mut all = kept.lock().expect("a lock");
                    all.push(Vec::new());
                    all.len() - 1
                };
                let kept = Arc::clone(&kept);
                tokio::spawn(async move {
                    let Ok(server) = TcpStream::connect(server).await else { return };
                    let (mut from_client, mut to_client) = client.into_split();
                    let (mut from_server, mut to_server) = server.into_split();
                    let back = tokio::spawn(async move { tokio::io::copy(&mut from_server, &mut to_client).await });
                    let mut bytes = [0; 4096];
                    while let Ok(n @ 1..) = from_client.read(&mut bytes).await {
                        kept.lock().expect("a lock")[number].extend(&bytes[..n]);
                        if to_server.write_all(&bytes[..n]).await.is_err() {
                            break;
                        }
                    }
                    drop(to_server);
                    drop(back.await);
                });
            }
        });
        Self { address, heard, task }
    }

    /// Ends TLS here under a certificate of its own, and begins it anew towards the server.
    pub async fn stands_in(server: SocketAddr, shown: Arc<ServerConfig>, trusted: Arc<ClientConfig>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let task = tokio::spawn(async move {
            while let Ok((mut client, _)) = listener.accept().await {
                let (shown, trusted) = (Arc::clone(&shown), Arc::clone(&trusted));
                tokio::spawn(async move {
                    let mut request = [0; 8];
                    client.read_exact(&mut request).await?;
                    assert_eq!(request, SSL_REQUEST, "the gateway says nothing before TLS");
                    client.write_all(b"S").await?;
                    let mut client = TlsAcceptor::from(shown).accept(client).await?;
                    let mut there = TcpStream::connect(server).await?;
                    there.write_all(&SSL_REQUEST).await?;
                    there.read_exact(&mut [0]).await?;
                    let name = ServerName::from(server.ip());
                    let mut there = TlsConnector::from(trusted).connect(name, there).await?;
                    copy_bidirectional(&mut client, &mut there).await
                });
            }
        });
        Self { address, heard: Arc::default(), task }
    }
}
